package client

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

func (d *Entity[S, C, E]) descriptors(add func(proto.Message)) {
	for _, v := range d.Commands {
		addMessage(add, v)
	}
	for _, v := range d.Replies {
		addMessage(add, v)
	}
	for _, versions := range d.Events {
		for _, v := range versions {
			addMessage(add, v)
		}
	}
	addMessage(add, newState[S]())
}

func addMessage(add func(proto.Message), v any) {
	if m, ok := v.(proto.Message); ok {
		add(m)
	}
}

// descriptorSet gives the files of the messages of some kinds, each after those that it imports; nil when there are none.
func descriptorSet(kinds []Kind) ([]byte, error) {
	files := map[string]protoreflect.FileDescriptor{}
	for _, k := range kinds {
		k.descriptors(func(m proto.Message) {
			f := m.ProtoReflect().Descriptor().ParentFile()
			files[f.Path()] = f
		})
	}
	set := &descriptorpb.FileDescriptorSet{}
	done := map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		addFile(set, files[path], done)
	}
	if len(set.File) == 0 {
		return nil, nil
	}
	return proto.Marshal(set)
}

func addFile(set *descriptorpb.FileDescriptorSet, f protoreflect.FileDescriptor, done map[string]bool) {
	if done[f.Path()] {
		return
	}
	done[f.Path()] = true
	for i := range f.Imports().Len() {
		addFile(set, f.Imports().Get(i), done)
	}
	set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
}
