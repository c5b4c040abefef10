// Package e2e holds the end-to-end tests: a worker, real Postgres, real Temporal
// and a broker, one promise a file. It has nothing to import.
package e2e
