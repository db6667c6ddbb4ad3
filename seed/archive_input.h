#pragma once
// libarchive reading from a ByteSource: what FilterSource and MemberSource share.
//
// libarchive runs no program and opens no file here: its owner enables only the formats and filters that are needed.

#include <archive.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "seed/byte_source.h"

namespace drseed::seed {

class ArchiveInput {
 public:
  // `name` is for messages.
  ArchiveInput(std::unique_ptr<ByteSource> source, std::string name);
  ArchiveInput(const ArchiveInput&) = delete;  // libarchive's callbacks point back at it
  ArchiveInput& operator=(const ArchiveInput&) = delete;

  // For libarchive's own functions: enable formats before open(), read after it.
  archive* get() const { return archive_.get(); }
  const std::string& name() const { return name_; }

  // How many of the last bytes seen are kept for tail(); before open().
  void keep_tail(std::size_t length_bytes) { tail_bytes_ = length_bytes; }

  Result<> open();
  // Why libarchive's last call failed: the source's own error, else kDiffers with position and libarchive's words.
  Error error(std::string_view what) const;

  // The source's own error, which libarchive may have taken for the end.
  Result<> source_error() const;

  // Bytes libarchive took in, and bytes it has been given.
  std::uint64_t consumed_bytes() const { return static_cast<std::uint64_t>(archive_filter_bytes(archive_.get(), -1)); }
  std::uint64_t given_bytes() const { return given_bytes_; }
  // Reads the source to its end past libarchive, so that the layers below check theirs.
  Result<> drain();
  // Whether there is nothing more to give to libarchive; if there is, it is lost.
  Result<bool> at_end();
  std::span<const std::uint8_t> tail() const { return tail_; }

 private:
  struct Free {
    void operator()(archive* handle) const { archive_read_free(handle); }
  };
  static la_ssize_t on_read(archive*, void* self, const void** bytes);
  Result<std::span<const std::uint8_t>> next();

  std::unique_ptr<ByteSource> source_;
  std::string name_;
  std::vector<std::uint8_t> buffer_, tail_;
  std::size_t tail_bytes_ = 0;
  std::uint64_t given_bytes_ = 0;
  std::optional<Error> source_error_;
  std::unique_ptr<archive, Free> archive_;
};

}  // namespace drseed::seed
