//go:build !unix

package main

func keepPrivate() {} // there is no umask
