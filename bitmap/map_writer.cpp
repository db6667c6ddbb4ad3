#include "bitmap/map_writer.h"

#include <string>

namespace drseed::bitmap {
namespace {

// Small pieces become large ones.
class Gathered {
 public:
  explicit Gathered(const TextSink& sink) : sink_(sink) {}

  template <typename... Args>
  Result<> add(fmt::format_string<Args...> text, Args&&... args) {
    constexpr std::size_t kPieceBytes = 64 << 10;
    fmt::format_to(std::back_inserter(text_), text, std::forward<Args>(args)...);
    return text_.size() < kPieceBytes ? Result<>{} : flush();
  }
  Result<> flush() {
    DRSEED_TRY(sink_(text_));
    text_.clear();
    return {};
  }

 private:
  const TextSink& sink_;
  std::string text_;
};

Result<> write_text(const DirtyBitmap& bits, const FileInfo& info, Gathered& out) {
  for (auto run = bits.next_dirty(0); run; run = bits.next_dirty(run->end())) {
    const auto range = bytes_of(*run, info);
    DRSEED_TRY(out.add("{} {}\n", range.offset_bytes, range.length_bytes));
  }
  return {};
}

Result<> write_json(const DirtyBitmap& bits, const FileInfo& info, Gathered& out) {
  DRSEED_TRY(out.add("{{\"volume_bytes\": {}, \"block_bytes\": {}, \"runs\": [", info.volume_bytes, info.block_bytes));
  std::string_view comma;
  for (auto run = bits.next_dirty(0); run; run = bits.next_dirty(run->end())) {
    const auto range = bytes_of(*run, info);
    DRSEED_TRY(
        out.add("{}\n{{\"offset_bytes\": {}, \"length_bytes\": {}}}", comma, range.offset_bytes, range.length_bytes));
    comma = ",";
  }
  return out.add("\n]}}\n");
}

Result<> write_extents(const DirtyBitmap& bits, const FileInfo& info, Gathered& out) {
  DRSEED_TRY(out.add("["));
  std::uint64_t at = 0;
  const auto extent_to = [&](std::uint64_t end, bool dirty) -> Result<> {
    if (end == at) return {};
    DRSEED_TRY(out.add("{}\n{{ \"offset\": {}, \"length\": {}, \"type\": {}, \"description\": \"{}\"}}",
                       at == 0 ? "" : ",", at, end - at, dirty ? 1 : 0, dirty ? "dirty" : "clean"));
    at = end;
    return {};
  };
  for (auto run = bits.next_dirty(0); run; run = bits.next_dirty(run->end())) {
    const auto range = bytes_of(*run, info);
    DRSEED_TRY(extent_to(range.offset_bytes, false));
    DRSEED_TRY(extent_to(range.end(), true));
  }
  DRSEED_TRY(extent_to(info.volume_bytes, false));
  return out.add("\n]\n");
}

}  // namespace

Result<> write_map(const DirtyBitmap& bits, const FileInfo& info, MapFormat format, const TextSink& sink) {
  Gathered out(sink);
  switch (format) {
    case MapFormat::kText:
      DRSEED_TRY(write_text(bits, info, out));
      break;
    case MapFormat::kJson:
      DRSEED_TRY(write_json(bits, info, out));
      break;
    case MapFormat::kMap:
      DRSEED_TRY(write_extents(bits, info, out));
      break;
  }
  return out.flush();
}

}  // namespace drseed::bitmap
