package kafkatest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"midwatch/internal/testkit"
)

// What is fetched: the broker with all that it needs, and a logger that writes
// to standard error. sum is of the names and hashes of all archives.
const (
	version = "4.1.1"
	plugin  = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
	sum     = "1b99f073a43e87b2736a310489b83812e46b68a9b65835edd475056461ae1646"
)

// pom names the archives for Maven.
func pom() string {
	return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>midwatch</groupId><artifactId>kafkatest</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>` + version + `</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
`
}

// folder is where in the cache the archives are: MIDWATCH_CACHE, or the user's
// cache folder. Its name holds their hash, so that others are fetched anew.
func folder() (string, error) {
	dir, err := testkit.Cache()
	return filepath.Join(dir, "kafka-"+version+"-"+sum[:12]), err
}

// Available says whether a broker can be started here, and if not, what to do,
// in a sentence.
func Available() (reason string, ok bool) {
	dir, err := folder()
	if err != nil {
		return err.Error(), false
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() { // it got its name when it was whole
		return "Kafka is not in the cache (" + dir + "), run `make test-deps`", false
	}
	if _, err := exec.LookPath("java"); err != nil {
		return "there is no java, which Kafka for tests needs; install Java 17", false
	}
	return "", true
}

// Fetch brings the archives into the cache. What is there already stays. It
// needs Java 17 and Maven, whose own configuration says where packages come
// from. Progress goes to out.
func Fetch(ctx context.Context, out io.Writer) (err error) {
	dir, err := folder()
	if err != nil {
		return err
	}
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	cache := filepath.Dir(dir)
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return fmt.Errorf("make the cache folder, or set MIDWATCH_CACHE to another: %w", err)
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return fmt.Errorf("the Kafka broker for tests comes from Maven Central (kafka_2.13 %s); install Maven and Java 17, and try again: %w", version, err)
	}
	temp, err := os.MkdirTemp(cache, "kafka-fetch-")
	if err != nil {
		return fmt.Errorf("make a folder in the cache: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	if _, err := fmt.Fprintf(out, "fetching kafka_2.13 %s (60 MB) into %s\n", version, cache); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(temp, "pom.xml"), []byte(pom()), 0o644); err != nil {
		return err
	}
	libs := filepath.Join(temp, "libs")
	cmd := exec.CommandContext(ctx, mvn, "--batch-mode", "--quiet", "--file", filepath.Join(temp, "pom.xml"), plugin, "-DincludeScope=runtime", "-DoutputDirectory="+libs)
	cmd.Dir = temp
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("download with Maven (is the repository within reach?): %w: %s", err, strings.TrimSpace(string(said)))
	}
	got, err := hashOf(libs)
	if err != nil {
		return err
	}
	if got != sum {
		return fmt.Errorf("the archives of Kafka %s are not those that the tests were written with: %s, want %s", version, got, sum)
	}
	if err := os.Rename(libs, dir); err != nil {
		if _, ok := Available(); !ok { // else another process was first
			return fmt.Errorf("put Kafka in its place: %w", err)
		}
	}
	_, err = fmt.Fprintln(out, "fetched", dir)
	return err
}

// hashOf hashes the names and hashes of a folder's files.
func hashOf(dir string) (string, error) {
	files, err := os.ReadDir(dir) // in the order of their names
	if err != nil {
		return "", fmt.Errorf("read the archives: %w", err)
	}
	all := sha256.New()
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return "", fmt.Errorf("read the archives: %w", err)
		}
		_, _ = fmt.Fprintf(all, "%s %x\n", f.Name(), sha256.Sum256(b)) // a hash takes everything
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}
