// The proxy that one would write in Go: a goroutine a direction, io.Copy, ends of streams passed
// on by half-closing, which lets io.Copy use splice.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
)

func move(to, from *net.TCPConn, done chan<- struct{}) {
	io.Copy(to, from)
	to.CloseWrite()
	done <- struct{}{}
}

func serve(client *net.TCPConn, backend *net.TCPAddr) {
	defer client.Close()
	server, err := net.DialTCP("tcp", nil, backend)
	if err != nil {
		return
	}
	defer server.Close()
	done := make(chan struct{}, 2)
	go move(server, client, done)
	go move(client, server, done)
	<-done
	<-done
}

func run(port, backendPort string) error {
	address, err := net.ResolveTCPAddr("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	backend, err := net.ResolveTCPAddr("tcp", "127.0.0.1:"+backendPort)
	if err != nil {
		return err
	}
	listener, err := net.ListenTCP("tcp", address)
	if err != nil {
		return err
	}
	for {
		client, err := listener.AcceptTCP()
		if err != nil {
			return err
		}
		go serve(client, backend)
	}
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go_proxy PORT BACKEND_PORT")
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, run(os.Args[1], os.Args[2]))
	os.Exit(1)
}
