// Package webhook serves entities by HTTP: a task is a POST to a configured URL, its answer the decisions.
//
// The other side keeps nothing. Each request brings the state that the server has, or the newest that the log carries with the events
// after it, so every task is cold; what the answer tells of the new state is kept by the server for the next one. docs/reference/webhook.yaml
// describes the other side.
//
// It promises that at most Config.InFlight requests are under way, that a request ends with its kind's timeout, and that whatever
// comes back, or does not, is a result: a decision, a retry, or a failure that is the task's alone. It does not retry: a command whose
// request failed may have been decided, but what was decided is not stored, so that its caller may send it again.
package webhook
