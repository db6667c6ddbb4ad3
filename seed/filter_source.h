#pragma once
// What xz, bzip2, zstd or lz4 made of another stream, through libarchive's filters, of which exactly one is applied.
//
// The libraries below libarchive check what the format checks: xz CRC32, CRC64 or SHA-256, bzip2 CRC32, zstd and lz4
// XXH where the frame has one. libarchive 3.6.2 itself ends without a word where a later bzip2 stream's magic is
// damaged or cut, so it is checked here that the whole input was used; for lz4 see lz4_frames.h.

#include <memory>
#include <string>

#include "seed/archive_input.h"
#include "seed/byte_source.h"
#include "seed/foreign_magic.h"

namespace drseed::seed {

class FilterSource : public ByteSource {
 public:
  // `compression` is one of kXz, kBzip2, kZstd, kLz4; `name` is for messages.
  static Result<std::unique_ptr<FilterSource>> open(std::unique_ptr<ByteSource> compressed, ForeignMagic compression,
                                                    std::string name);
  Result<std::size_t> read(std::span<std::uint8_t> bytes) override;

 private:
  FilterSource(std::unique_ptr<ByteSource> compressed, ForeignMagic compression, std::string name);
  Result<> start();
  Result<> check_end();

  ArchiveInput input_;
  const ForeignMagic compression_;
  bool ended_ = false;
};

}  // namespace drseed::seed
