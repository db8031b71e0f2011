//go:build !linux

package main

import "os"

func peakRSS(int) int64 { return 0 }

func syncData(file *os.File) error { return file.Sync() }
