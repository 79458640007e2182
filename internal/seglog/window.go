package seglog

// window is the part of a file that was read last.
type window struct {
	file *file
	pos  int64
	buf  []byte
	room []byte // what buf is cut from
}

// holds gives n bytes at pos when the window has them.
func (w *window) holds(f *file, pos int64, n int) ([]byte, bool) {
	if w.file != f || pos < w.pos || pos+int64(n) > w.pos+int64(len(w.buf)) {
		return nil, false
	}
	at := pos - w.pos
	return w.buf[at : at+int64(n) : at+int64(n)], true
}

// load reads n bytes at pos into the window; fewer where the file ends.
func (w *window) load(f *file, pos int64, n int) error {
	if cap(w.room) < n {
		w.room = make([]byte, n)
	}
	w.file = nil
	b, err := f.read(w.room[:n], pos)
	if err != nil {
		return err
	}
	w.file, w.pos, w.buf = f, pos, b
	return nil
}

// get gives n bytes at pos, fewer where the file ends, and reads more when it must read: ahead bytes, but not beyond end.
func (w *window) get(f *file, pos int64, n int, ahead, end int64) ([]byte, error) {
	if b, ok := w.holds(f, pos, n); ok {
		return b, nil
	}
	if err := w.load(f, pos, max(n, int(min(ahead, end-pos)))); err != nil {
		return nil, err
	}
	return w.buf[:min(n, len(w.buf)):min(n, len(w.buf))], nil
}
