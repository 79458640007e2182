// Package hostile tests clusters of the real binary under conditions that nobody wishes for: processes that are killed, frozen and
// restarted, networks that lose, delay and cut, one way or both, and disks that fill up. It is nothing but tests.
//
// What they promise: after each thing that happens to a cluster of three, what its clients were told is held against what every node
// holds in the end. Every acknowledged event is there once, with the revision and the offset that its caller was told; what was
// refused for certain is not; what was left open is there once or not at all. Every node has the same events in the same order. One
// order of the appends of a stream explains every answer, conflicts among them. Readers that followed all the while saw no gap, no
// repeat, and no event that vanished. Every data folder passes gesta check.
//
// # The world
//
// Each node lives in network and mount namespaces of its own, which have no names: they are gone with the process that holds them,
// whatever becomes of the test. Between the namespaces there is no kernel bridge but a switch in the test's process, to which every
// namespace is tied by a TUN device: it sees each packet and can drop, delay or lose it, for each pair and each direction by itself.
// So nothing beyond TUN is asked of the kernel, no packet filter and no traffic control. The clients are in the test's process, at an
// address of their own behind the same switch.
//
// This needs Linux, root, /dev/net/tun and the programs ip, unshare and nsenter. Elsewhere the tests are skipped, and say why.
//
// # What it does not do
//
// It does not lose what was written without fdatasync, tear writes or rot bits, and it does not shift clocks: the simulator
// (internal/sim) does these to the same code. It cannot replay a run: a seed decides what is done, not what comes of it.
package hostile
