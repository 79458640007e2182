package process

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestStopEndsTheProcess(t *testing.T) {
	said := make(chan string, 1)
	p, err := Start(Spec{Path: "/bin/sh", Args: []string{"-c", "echo here; exec sleep 600"}, Line: func(s string) { said <- s }})
	if err != nil {
		t.Fatal(err)
	}
	if line := <-said; line != "here" {
		t.Errorf("said %q", line)
	}
	if RSS(p.Pid()) <= 0 {
		t.Error("a running process has no memory")
	}
	began := time.Now()
	p.Stop()
	if took := time.Since(began); took > patience/2 {
		t.Errorf("ended after %v", took)
	}
	if err := p.Failure(); !strings.Contains(err.Error(), "here") {
		t.Errorf("%v does not tell what it said", err)
	}
}

func TestCPUGrowsWithWork(t *testing.T) {
	before := CPU(os.Getpid())
	for n, began := 0, time.Now(); time.Since(began) < 60*time.Millisecond; n++ {
		_ = n * n
	}
	if after := CPU(os.Getpid()); after <= before {
		t.Errorf("%v before, %v after 60 ms of work", before, after)
	}
}

func TestCPUCountsChildren(t *testing.T) {
	worked := make(chan string, 1)
	p, err := Start(Spec{Path: "/bin/sh", Args: []string{"-c", "(i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; echo worked; exec sleep 600) & trap 'kill $!' TERM; wait"}, Line: func(s string) { worked <- s }})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	<-worked
	if own, all := Own(p.Pid()), CPU(p.Pid()); all < own+5*time.Millisecond {
		t.Errorf("%v itself, %v with its child, which counted to 30,000", own, all)
	}
}
