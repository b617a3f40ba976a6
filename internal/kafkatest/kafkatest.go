// Package kafkatest gives tests a real Kafka broker: Apache Kafka's own, one
// node without ZooKeeper, with listeners for each way of logging in.
//
// Its archives come from Maven Central by `make test-deps`, with versions and
// hashes that are fixed here. Without them tests are skipped, and fail where
// $CI is set. It needs Java 17.
package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"midwatch/internal/testkit"
)

// What the listeners SASL and OAuth know.
const (
	User     = "$ConnectionString"
	Password = "Endpoint=sb://hub.example/;SharedAccessKeyName=read;SharedAccessKey=c2VjcmV0;EntityPath=x"
)

// Broker is a broker that runs, or did.
type Broker struct {
	Plain string // host:port without login and TLS
	SASL  string // SASL PLAIN over TLS: User and Password
	MTLS  string // TLS with a client certificate
	OAuth string // SASL OAUTHBEARER without TLS, which takes tokens that are not signed

	CA, Cert, Key string // PEM files; the certificate is good for broker and client

	dir, libs string
	mu        sync.Mutex
	cmd       *exec.Cmd
	ended     chan struct{} // closed when cmd has
}

// Start starts a broker that ends with the test. Without the archives the test
// is skipped; in CI, which must have them, it fails.
func Start(t testing.TB) *Broker {
	t.Helper()
	reason, ok := Available()
	switch {
	case ok:
	case os.Getenv("CI") != "":
		t.Fatalf("no Kafka, and CI must have it: %s", reason)
	default:
		t.Skipf("skipped: %s", reason)
	}
	b, err := launch(t.Context(), t.TempDir())
	if b != nil {
		t.Cleanup(func() {
			b.Kill()
			if t.Failed() {
				t.Logf("the end of the broker's log:\n%s", b.tail())
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func launch(ctx context.Context, dir string) (*Broker, error) {
	libs, err := folder()
	if err != nil {
		return nil, err
	}
	b := &Broker{dir: dir, libs: libs, CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	if err := testkit.Certificates(dir); err != nil {
		return nil, err
	}
	ports, err := freePorts(5)
	if err != nil {
		return nil, err
	}
	b.Plain, b.SASL, b.MTLS, b.OAuth = ports[0], ports[1], ports[2], ports[3]
	if err := os.WriteFile(b.file("server.properties"), []byte(b.properties(ports[4])), 0o600); err != nil {
		return nil, err
	}
	format := b.java(ctx, "kafka.tools.StorageTool", "format", "--cluster-id", "bWlkd2F0Y2gtdGVzdHMtMQ", "--config", b.file("server.properties"))
	if said, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format the broker's storage: %w: %s", err, said)
	}
	return b, b.Run(ctx)
}

func (b *Broker) file(name string) string { return filepath.Join(b.dir, name) }

func (b *Broker) java(ctx context.Context, args ...string) *exec.Cmd {
	// Small and quick to start: it is there for seconds.
	args = append([]string{"-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(b.libs, "*")}, args...)
	return exec.CommandContext(ctx, "java", args...)
}

func (b *Broker) properties(controller string) string {
	return fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[5]s
listeners=PLAIN://%[1]s,SASL://%[2]s,MTLS://%[3]s,OAUTH://%[4]s,CONTROLLER://%[5]s
advertised.listeners=PLAIN://%[1]s,SASL://%[2]s,MTLS://%[3]s,OAUTH://%[4]s
listener.security.protocol.map=PLAIN:PLAINTEXT,SASL:SASL_SSL,MTLS:SSL,OAUTH:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAIN
controller.listener.names=CONTROLLER
log.dirs=%[6]s
sasl.enabled.mechanisms=PLAIN,OAUTHBEARER
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "user_%[7]s"="%[8]s";
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location=%[9]s
ssl.truststore.type=PEM
ssl.truststore.location=%[10]s
listener.name.mtls.ssl.client.auth=required
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
message.max.bytes=33554432
controlled.shutdown.enable=false
`, b.Plain, b.SASL, b.MTLS, b.OAuth, controller, b.file("data"), User, Password, b.file("both.pem"), b.CA)
}

// Run starts the broker, again if it was stopped, and waits until it answers.
func (b *Broker) Run(ctx context.Context) error {
	log, err := os.OpenFile(b.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := b.java(context.WithoutCancel(ctx), "kafka.Kafka", b.file("server.properties"))
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, b.dir
	cmd.SysProcAttr = attributes()
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		// The broker ends with the thread that started it, so that none is left
		// when the tests are killed.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start the broker: %w", err)
	}
	b.mu.Lock()
	b.cmd, b.ended = cmd, ended
	b.mu.Unlock()
	// Listeners open one after the other.
	for _, listener := range []string{b.Plain, b.SASL, b.MTLS, b.OAuth} {
		if err := answers(ctx, listener, ended); err != nil {
			return fmt.Errorf("the broker at %s: %w: %s", listener, err, b.tail())
		}
	}
	return nil
}

// answers waits until somebody listens, or the process has ended.
func answers(ctx context.Context, listener string, ended <-chan struct{}) error {
	for range 1200 {
		if c, err := net.DialTimeout("tcp", listener, time.Second); err == nil {
			return c.Close()
		}
		select {
		case <-ended:
			return errors.New("it ended")
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errors.New("it does not answer")
}

// Kill ends the broker as a crash does. What was written to it stays.
func (b *Broker) Kill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd != nil {
		_ = b.cmd.Process.Kill() // it may have ended
		<-b.ended
		b.cmd = nil
	}
}

// tail is the end of the broker's log.
func (b *Broker) tail() string {
	text, err := os.ReadFile(b.file("log"))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-3000):]))
}

// freePorts finds ports that nobody listens on.
func freePorts(n int) (out []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		out = append(out, l.Addr().String())
	}
	return out, nil
}
