// Package docs holds the documentation against the product. It has tests alone.
//
// What stands in the pages is run: every block of kind "console" in README.md, docs/tutorial, docs/how-to, docs/operations and examples is
// a session with the real binary and a real node, in a fresh folder for each page, from top to bottom.
//
//	$ COMMAND              runs in a shell; it must end with 0, or with N where "# exits with N" stands behind it
//	> MORE                 goes on with the command above
//	$ gesta serve …        starts the page's node, which runs until ^C or the page's end
//	$ go run ./examples/… serve   starts a handler, which runs until the page's end
//	$ gesta dev …          starts the page's cluster, which runs until ^C or the page's end
//	dev> LINE              is typed there; it is done before the next step
//	^C                     interrupts the command above if it follows (--follow), once its output is there; else the node,
//	                       or without one the cluster
//	anything else          is the command's output, line by line; without any, the output is not compared
//
// In output … stands for anything within a line, and alone on a line for any lines. The ports 7070, 7080, 7090 and the three after each are other, free ones
// while a page is run. A block behind the comment <!-- file: NAME --> is what the reader saves under that name.
//
// Besides that: relative links lead somewhere, Go code is part of a program that is compiled, and what deploy/ asks for (metrics,
// flags, runbook entries) exists.
//
// The tests take a few seconds and the time to build the binary, which may be longer.
package docs
