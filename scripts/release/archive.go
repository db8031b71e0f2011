package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// entry is a file in an archive.
type entry struct {
	name string // with slashes
	path string
	mode fs.FileMode
}

// archive writes the archive for p: zip for Windows, tar.gz for the others.
func (r *release) archive(p platform, binary string) error {
	entries := []entry{{filepath.Base(binary), binary, 0o755}}
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md", "deploy/pgwitness.yaml"} {
		entries = append(entries, entry{filepath.Base(name), filepath.Join(r.source, name), 0o644})
	}
	for _, directory := range []string{"completions", "man"} {
		files, err := os.ReadDir(filepath.Join(r.stage, directory)) // sorted
		if err != nil {
			return err
		}
		for _, file := range files {
			entries = append(entries, entry{directory + "/" + file.Name(), filepath.Join(r.stage, directory, file.Name()), 0o644})
		}
	}
	name, write := r.name(p)+".tar.gz", writeTar
	if p.os == "windows" {
		name, write = r.name(p)+".zip", writeZip
	}
	for i := range entries {
		entries[i].name = r.name(p) + "/" + entries[i].name
	}
	file, err := os.Create(filepath.Join(r.out, name))
	if err != nil {
		return err
	}
	r.add(name)
	return errors.Join(write(file, entries, r.time), file.Close())
}

// writeTar writes what depends on nothing but its arguments: no owner, and one time for all.
func writeTar(w io.Writer, entries []entry, at time.Time) error {
	compressed, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	files := tar.NewWriter(compressed)
	for _, e := range entries {
		content, err := os.ReadFile(e.path)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: e.name, Mode: int64(e.mode), Size: int64(len(content)), ModTime: at, Format: tar.FormatUSTAR}
		if err := files.WriteHeader(header); err != nil {
			return err
		}
		if _, err := files.Write(content); err != nil {
			return err
		}
	}
	return errors.Join(files.Close(), compressed.Close())
}

// writeZip does the same in the other format.
func writeZip(w io.Writer, entries []entry, at time.Time) error {
	files := zip.NewWriter(w)
	for _, e := range entries {
		content, err := os.ReadFile(e.path)
		if err != nil {
			return err
		}
		header := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: at.UTC()}
		header.SetMode(e.mode)
		file, err := files.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := file.Write(content); err != nil {
			return err
		}
	}
	return files.Close()
}
