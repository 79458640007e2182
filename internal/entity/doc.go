// Package entity runs entities: it hands commands to handlers, and what they decide to the log.
//
// # What it promises
//
//   - Commands of one entity are decided one after another, in the order in which they came; entities in parallel.
//   - What is answered is true of the log: an acceptance when its commit is stored; a rejection, a reply without events or a state
//     when everything it was judged on is stored, and nobody else had written by then.
//   - A command id has at most one effect, also when handlers, this node or the caller die and come back: the log's judgement
//     decides, not what is remembered here.
//   - What a handler does wrong (it hangs, panics, answers twice, for another task, or with what it has not declared) ends at worst
//     the commands that it was asked about.
//   - Everything is bounded: commands of a kind and of an entity, entities in hand, memory of idle entities; past a bound the answer
//     is busy at once, or the entity that was idle for longest is forgotten.
//
// # What it does not know
//
// How handlers are reached, how the log is kept, which node an entity belongs to, and what commands mean.
//
// # How it is built
//
// Core is all of the deciding about who gets what and when; it is stepped by one goroutine, and takes time, the log's outcomes and
// the handlers' results as arguments, so that tests drive it from a seed. Dispatcher is the runtime around one Core. DESIGN.md tells
// the life of an entity, and why it is safe to send the next task before the last decision is stored.
package entity
