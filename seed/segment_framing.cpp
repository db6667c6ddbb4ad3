#include "seed/segment_framing.h"

namespace drseed::seed {
namespace {

void append(std::string& text, const TarBlock& block) {
  text.append(reinterpret_cast<const char*>(block.data()), block.size());
}

}  // namespace

std::string segment_front(const SegmentRecord& record, Codec codec, std::uint64_t mtime_seconds) {
  const auto comment = encode_pax_comment(encode_segment_record(record));
  std::string front;
  append(front, encode_tar_header({TarType::kPax, record_name(record.offset_bytes), comment.size(), mtime_seconds}));
  front += comment;
  front.append(tar_padding_bytes(comment.size()), '\0');
  append(front, encode_tar_header(
                    {TarType::kFile, data_name(record.offset_bytes, codec), record.stored_bytes, mtime_seconds}));
  return front;
}

}  // namespace drseed::seed
