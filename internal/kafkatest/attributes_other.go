//go:build !linux

package kafkatest

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }
