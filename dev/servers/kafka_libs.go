package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// kafkaVersion is that of the broker.
const kafkaVersion = "4.1.1"

// kafkaPOM lists the broker's own jar and a logger that writes to stderr; Maven
// knows the rest.
const kafkaPOM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>omnibox.dev</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>` + kafkaVersion + `</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
`

// kafkaLibs returns a directory with the broker's jars.
func kafkaLibs(ctx context.Context, progress io.Writer) (string, error) {
	if home := os.Getenv("KAFKA_HOME"); home != "" {
		return filepath.Join(home, "libs"), nil
	}
	base, err := CacheDir()
	if err != nil {
		return "", err
	}
	return cached(base, "kafka-"+kafkaVersion, progress, func(dir string) error {
		mvn, err := exec.LookPath("mvn")
		if err != nil {
			return errors.New("maven is not on PATH (install it, or set KAFKA_HOME to an unpacked release)")
		}
		pom := filepath.Join(dir, "pom.xml")
		if err := os.WriteFile(pom, []byte(kafkaPOM), 0o600); err != nil {
			return err
		}
		return runTool(ctx, dir, mvn, "--batch-mode", "--quiet", "--file", pom,
			"org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies", "-DoutputDirectory="+dir)
	})
}

// javaCommand prefers JAVA_HOME, as Kafka's own scripts do.
func javaCommand() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		return filepath.Join(home, "bin", "java"), nil
	}
	path, err := exec.LookPath("java")
	if err != nil {
		return "", fmt.Errorf("no java, which Apache Kafka needs: %w", err)
	}
	return path, nil
}
