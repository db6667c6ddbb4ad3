#pragma once
// The frames of lz4 data (lz4_Frame_format.md 1.6.2) whole and in order, as libarchive can read them.
//
// libarchive 3.6.2 takes an empty frame, and anything that is no frame, for the end of the data. So the frames are
// walked here: empty and skippable ones are left out, and what is cut or no frame is an error. The blocks themselves
// and their checksums are libarchive's matter. Legacy frames, which have neither checks nor an end, are refused.

#include <memory>
#include <string>
#include <vector>

#include "seed/byte_source.h"

namespace drseed::seed {

class Lz4Frames : public ByteSource {
 public:
  // `name` is for messages.
  Lz4Frames(std::unique_ptr<ByteSource> compressed, std::string name);
  Result<std::size_t> read(std::span<std::uint8_t> bytes) override;

 private:
  enum class At { kFrame, kBlock, kEnd };

  Result<std::size_t> take(std::span<std::uint8_t> bytes);
  Result<> take_all(std::span<std::uint8_t> bytes);
  Result<std::uint32_t> take_word();
  Result<> skip(std::uint64_t length);
  Result<> next_frame();
  Result<> next_block();
  Result<> after_blocks();
  tl::unexpected<Error> damaged(std::string_view what) const;

  std::unique_ptr<ByteSource> compressed_;
  std::string name_;
  std::vector<std::uint8_t> input_;
  std::size_t input_used_ = 0;
  std::uint64_t taken_bytes_ = 0;  // position in the compressed data

  At at_ = At::kFrame;
  bool block_checksums_ = false;
  bool content_checksum_ = false;
  bool frame_empty_ = true;
  std::vector<std::uint8_t> header_;  // to be handed out first
  std::uint64_t body_bytes_ = 0;      // of a block, to be handed out after header_
};

}  // namespace drseed::seed
