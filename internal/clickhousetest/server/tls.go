//go:build linux

package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
)

// terminate listens with TLS and passes on what comes in, for as long as the
// process lives. A connection ends on both sides when it ends on one.
func terminate(secure, to, cert, key string) error {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("load the certificate: %w", err)
	}
	l, err := tls.Listen("tcp", secure, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return fmt.Errorf("listen with TLS: %w", err)
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return // nobody closes the listener but the end of the process
			}
			go pass(in, to)
		}
	}()
	return nil
}

func pass(in net.Conn, to string) {
	defer func() { _ = in.Close() }()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return // the client sees its connection end
	}
	defer func() { _ = out.Close() }()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			_, _ = io.Copy(way[1], way[0])
			done <- struct{}{}
		}()
	}
	<-done
}
