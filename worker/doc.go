// Package worker ties everything together: it reads the configuration, opens
// the databases and brokers, and runs the pipelines under Temporal until it is
// told to stop. Run is all that a program needs; Module is the same for fx.
package worker
