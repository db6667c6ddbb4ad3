#pragma once
// What gzip (RFC 1952) made of another stream, through zlib, which checks the CRC and the length of every member.
//
// Members in a row are one stream (pigz, bgzip, cat). Zero bytes after the last member are a tape's or a disk's padding
// and are ignored; anything else there is damage.

#include <zlib.h>

#include <memory>
#include <string>
#include <vector>

#include "seed/byte_source.h"

namespace drseed::seed {

class GzipSource : public ByteSource {
 public:
  // `name` is for messages.
  GzipSource(std::unique_ptr<ByteSource> compressed, std::string name);
  ~GzipSource() override;
  GzipSource(const GzipSource&) = delete;  // zlib's state points back at the z_stream
  GzipSource& operator=(const GzipSource&) = delete;
  Result<std::size_t> read(std::span<std::uint8_t> bytes) override;

 private:
  enum class At { kFirstMember, kMember, kAfterMember, kPadding, kEnd };

  Result<> fill();
  Result<> after_member();
  Result<> padding();
  Result<std::size_t> inflate_some(std::span<std::uint8_t> bytes);
  std::uint64_t position_bytes() const { return taken_bytes_ - stream_.avail_in; }

  std::unique_ptr<ByteSource> compressed_;
  std::string name_;
  std::vector<std::uint8_t> input_;
  std::uint64_t taken_bytes_ = 0;  // from compressed_
  z_stream stream_{};
  At at_ = At::kFirstMember;
};

}  // namespace drseed::seed
