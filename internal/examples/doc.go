// Package examples runs those of the examples that are not written in Go. It has tests alone.
//
// Each handler is held against the protocol (client/conformance) and then serves the real server's entities. What it needs is
// installed from its language's registry, once: into the folder that EXAMPLES_CACHE names, by default gesta/examples in the
// user's cache folder. Without the language, or with a registry that cannot be reached, its test is skipped and says why.
//
// With all installed the tests take some 10 seconds, and the time to build the binary.
package examples
