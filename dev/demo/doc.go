// Package demo shows omnibox at work on a small order service: a few orders that
// have a workflow each, more that do not, a transaction that fails, a pause and a
// burst, a step that fails and recovers, a dead event and its replay by a signal to
// its workflow. A second service, which consumes the orders, is killed in the
// middle, and gets a message that nobody can read. Then it reads the topics and the
// tables, and says whether every promise was kept.
//
// Nothing in it is staged: orders are written by transactions, the worker is
// worker.Run with a step of the service's own, the second service is a process that
// gets SIGKILL, and what is said to have been
// delivered has been consumed from the topic.
package demo
