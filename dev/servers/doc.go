// Package servers starts the real servers that omnibox is developed and tested
// against: Postgres, a Temporal dev server and Apache Kafka as processes, and an
// in-process Kafka and a breakable TCP proxy.
//
// Every process listens on 127.0.0.1 only, on a port below the ephemeral range
// (so that it can be stopped and started again on the same port), logs to a file
// in its work directory, and is stopped by its pid. On Linux a process dies with
// the program that started it, even if that program is killed.
//
// Binaries come from the machine when it has them. Otherwise they are downloaded
// once into [CacheDir].
package servers
