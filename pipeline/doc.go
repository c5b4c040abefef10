// Package pipeline is the data plane in plain Go: it takes due events from a
// store, runs the steps and the handler, decides once what becomes of each,
// and settles it. It knows neither Temporal nor a database nor a broker.
package pipeline
