#pragma once
// The one regular file inside a tar or zip, through libarchive.
//
// libarchive 3.6.2 pads a member that is too short and cuts one that is too long without an error: the bytes delivered
// are counted against the header's size here. It takes a tar without end-of-archive mark and a zip without directory:
// both are truncated here. Members that are no regular files (folders, links) are passed over. A member's name is never
// used as a path.

#include <archive_entry.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "seed/archive_input.h"
#include "seed/byte_source.h"
#include "seed/foreign_magic.h"

namespace drseed::seed {

class MemberSource : public ByteSource {
 public:
  // `archive_kind` is kTar or kZip. `to_the_end`: the archive came out of another layer, which checks itself at its
  // end. A second regular file is kUsage: here if the first one is small, else when the first one has been read.
  static Result<std::unique_ptr<MemberSource>> open(std::unique_ptr<ByteSource> source, ForeignMagic archive_kind,
                                                    std::string name, bool to_the_end);
  Result<std::size_t> read(std::span<std::uint8_t> bytes) override;

  const std::string& member_name() const { return member_name_; }          // as stored: hostile
  std::optional<std::uint64_t> size_bytes() const { return size_bytes_; }  // as the header has it

 private:
  MemberSource(std::unique_ptr<ByteSource> source, ForeignMagic archive_kind, std::string name, bool to_the_end);
  Result<> start();
  Result<> read_small();
  Result<archive_entry*> next_regular();
  Result<bool> next_block();
  Result<std::size_t> read_member(std::span<std::uint8_t> bytes);
  Result<> finish();
  Result<> check_end();

  ArchiveInput input_;
  const ForeignMagic kind_;
  const bool to_the_end_;
  std::string member_name_;
  std::optional<std::uint64_t> size_bytes_;
  bool sparse_ = false;
  bool ended_ = false;

  std::span<const std::uint8_t> block_;   // libarchive's, valid until its next call
  std::uint64_t block_offset_bytes_ = 0;  // of block_ in the member; what is before it is a hole
  std::uint64_t delivered_bytes_ = 0;
  std::uint64_t before_header_bytes_ = 0;           // consumed when the last header was asked for
  std::optional<std::vector<std::uint8_t>> small_;  // a small member, read ahead whole
};

}  // namespace drseed::seed
