// Package activities adapts the passes of package pipeline to Temporal: one
// struct a family, one In and one Out a method. What crosses into a workflow's
// history is references, counters and reasons, never a payload.
package activities
