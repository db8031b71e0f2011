package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var commitTime = time.Date(2026, 11, 23, 16, 0, 2, 0, time.UTC)

// file is what an archive says of one of its files.
type file struct {
	Name    string
	Mode    fs.FileMode
	Time    time.Time
	Owner   string
	Content string
}

// TestArchives makes each archive twice, of files that differ in nothing that is to be seen in it.
func TestArchives(t *testing.T) {
	want := []file{
		{"pgwitness_1/pgwitness", 0o755, commitTime, "", "binary"},
		{"pgwitness_1/man/pgwitness.1", 0o644, commitTime, "", "manual\n"},
	}
	tests := []struct {
		name  string
		write func(io.Writer, []entry, time.Time) error
		read  func(*testing.T, []byte) []file
	}{
		{"tar.gz", writeTar, readTar},
		{"zip", writeZip, readZip},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var archives [2]bytes.Buffer
			for i, mode := range []fs.FileMode{0o600, 0o777} {
				directory := t.TempDir()
				var entries []entry
				for _, file := range want {
					path := filepath.Join(directory, filepath.Base(file.Name))
					if err := os.WriteFile(path, []byte(file.Content), mode); err != nil {
						t.Fatal(err)
					}
					if err := os.Chtimes(path, time.Time{}, time.Unix(int64(i), 0)); err != nil {
						t.Fatal(err)
					}
					entries = append(entries, entry{file.Name, path, file.Mode})
				}
				zone := time.FixedZone("", i*3600)
				if err := tt.write(&archives[i], entries, commitTime.In(zone)); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(archives[0].Bytes(), archives[1].Bytes()) {
				t.Error("the two archives differ")
			}
			if diff := cmp.Diff(want, tt.read(t, archives[0].Bytes())); diff != "" {
				t.Errorf("what was read from it (-want +got):\n%s", diff)
			}
		})
	}
}

func readTar(t *testing.T, archive []byte) (files []file) {
	content, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	for reader := tar.NewReader(content); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{header.Name, fs.FileMode(header.Mode), header.ModTime.UTC(), header.Uname, string(content)})
	}
}

func readZip(t *testing.T, archive []byte) (files []file) {
	reader, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	for _, member := range reader.File {
		opened, err := member.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(opened)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{member.Name, member.Mode(), member.Modified.UTC(), "", string(content)})
	}
	return files
}
