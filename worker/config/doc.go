// Package config reads the configuration of a worker: one YAML file, the
// OMNIBOX_* environment variables, or both, where a variable wins.
//
// Nothing is silently ignored: an unknown key, a value of the wrong type or
// out of range and a reference to what is not there are errors. Every mistake
// is reported at once, each with the line of the file or the variable it came
// from.
package config
