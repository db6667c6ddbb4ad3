#pragma once
// Whole small files, and where drseed keeps its state.

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace drseed {

// The whole content of a file of at most size_max bytes; a larger one is an error, not a cut.
Result<std::string> read_file(const std::string& path, std::size_t size_max);

// Replaces a file so that after a crash at any instant it holds the old or the new content whole: temporary file,
// fsync, rename, fsync of the folder.
Result<> write_file_atomically(const std::string& path, std::string_view content);

// The same, but what is no regular file (a pipe, /dev/stderr) is written to, never replaced.
Result<> write_report(const std::string& path, std::string_view content);

// Reads exactly bytes.size() bytes at an offset. EOF before that is an error that names expected and found.
Result<> pread_exactly(int fd, std::span<std::uint8_t> bytes, std::uint64_t offset_bytes, std::string_view name);

// Writes all bytes to a pipe or at the file's position.
Result<> write_all(int fd, std::span<const std::uint8_t> bytes, std::string_view name);

// Takes the file's exclusive lock (flock), which ends with the descriptor; kRefused if another process keeps it for two
// seconds. (The kernel may close the files of a killed process a little after its end.)
Result<> lock_exclusively(int fd, std::string_view name);
// The same for readers: many may hold it, none while one holds the exclusive lock.
Result<> lock_shared(int fd, std::string_view name);

// Where journals and mirrors live: `chosen` if not empty, else $DRSEED_STATE_DIR, else /var/lib/drseed where it can be
// written, else $XDG_STATE_HOME/drseed or ~/.local/state/drseed. Created if missing.
Result<std::string> state_directory(const std::string& chosen);

}  // namespace drseed
