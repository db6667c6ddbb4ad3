#include "bitmap/map_json.h"

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>

#include "base/printable.h"

namespace drseed::bitmap {
namespace {

using Json = nlohmann::json;
using Value =
    std::variant<std::monostate, std::uint64_t, bool, std::string>;  // monostate: null, or a number unfit here

constexpr std::size_t kFieldsMax = 32;  // qemu-img 8 has 9 in an entry

std::string_view name_of(MapKind kind) {
  switch (kind) {
    case MapKind::kAuto:
      return "auto";
    case MapKind::kText:
      return "text";
    case MapKind::kJson:
      return "json";
    case MapKind::kMap:
      return "map";
    case MapKind::kQemuMap:
      return "qemu-map";
  }
  return "unknown";
}

class Fields {
 public:
  bool add(std::string name, Value value) {
    return values_.size() < kFieldsMax && values_.emplace(std::move(name), std::move(value)).second;
  }
  void clear() { values_.clear(); }
  bool has(const char* name) const { return values_.contains(name); }

  template <typename T>
  Result<T> get(const char* name, std::string_view expected) const {
    const auto found = values_.find(name);
    if (found == values_.end()) return fail(ErrorCode::kDiffers, "has no \"{}\"", name);
    const auto* value = std::get_if<T>(&found->second);
    if (value == nullptr) return fail(ErrorCode::kDiffers, "its \"{}\" is not {}", name, expected);
    return *value;
  }
  Result<std::uint64_t> number(const char* name) const { return get<std::uint64_t>(name, "a number of bytes"); }

 private:
  std::map<std::string, Value> values_;
};

// What the entries mean, whatever the text looks like.
class Entries {
 public:
  Entries(MapKind kind, const FileInfo& info, DirtyBitmap& bits) : kind_(kind), info_(info), bits_(bits) {}

  MapKind kind() const { return kind_; }
  std::uint64_t count() const { return count_; }

  // Settles the kind by the first entry, or by the object around them.
  Result<> expect(MapKind found) {
    if (kind_ == MapKind::kAuto && count_ == 0) kind_ = found;
    if (kind_ == found) return {};
    return fail(ErrorCode::kUsage, "looks like format {}, expected format {}", name_of(found), name_of(kind_));
  }

  Result<> add(const Fields& fields, bool in_array) {
    const auto read = add_checked(fields, in_array);
    if (!read) return fail(read.error().code, "entry {}: {}", count_, read.error().message());
    ++count_;
    return {};
  }

  Result<> finish(bool is_auto) const {
    if (kind_ == MapKind::kJson) return {};
    if (at_ != info_.volume_bytes) {
      return fail(ErrorCode::kDiffers, "covers {} bytes, expected the {} of the whole volume", at_, info_.volume_bytes);
    }
    if (is_auto && kind_ == MapKind::kQemuMap && !any_dirty_) {
      return fail(ErrorCode::kUsage,
                  "no entry is dirty (\"data\": false): either the bitmap is clean, or this is an allocation map of a "
                  "full disk, made without x-dirty-bitmap. If it is the bitmap, give --format qemu-map");
    }
    return {};
  }

 private:
  Result<> add_checked(const Fields& fields, bool in_array) {
    const auto found = !in_array ? MapKind::kJson : fields.has("start") ? MapKind::kQemuMap : MapKind::kMap;
    DRSEED_TRY(expect(found));
    ByteRange range;
    bool dirty = true;
    if (found == MapKind::kJson) {
      range = {DRSEED_TRY(fields.number("offset_bytes")), DRSEED_TRY(fields.number("length_bytes"))};
    } else {
      range.offset_bytes = DRSEED_TRY(fields.number(found == MapKind::kMap ? "offset" : "start"));
      range.length_bytes = DRSEED_TRY(fields.number("length"));
      dirty = DRSEED_TRY(found == MapKind::kMap ? is_dirty_by_type(fields) : is_dirty_by_data(fields));
      if (range.offset_bytes != at_) {
        return fail(ErrorCode::kDiffers, "begins at offset {}, expected {}, where the one before ended",
                    range.offset_bytes, at_);
      }
    }
    if (const auto fits = check_range(range, info_); !fits)
      return fail(ErrorCode::kDiffers, "{}", fits.error().message());
    at_ = range.end();
    any_dirty_ |= dirty;
    if (dirty) bits_.set(blocks_covering(range.offset_bytes, range.length_bytes, info_.block_bytes));
    return {};
  }

  // nbdinfo: the description tells a dirty bitmap from base:allocation, whose type 1 is a hole.
  static Result<bool> is_dirty_by_type(const Fields& fields) {
    const auto type = DRSEED_TRY(fields.number("type"));
    const auto description = DRSEED_TRY(fields.get<std::string>("description", "a text"));
    if (type == 0 && description == "clean") return false;
    if (type == 1 && description == "dirty") return true;
    return fail(ErrorCode::kUsage,
                "type {} described as '{}': expected 0 'clean' or 1 'dirty'. A map of what is allocated does not tell "
                "what changed; ask nbdinfo for --map=qemu:dirty-bitmap:NAME",
                type, printable(description));
  }

  // qemu-img with x-dirty-bitmap: dirty blocks are "data": false, and none is "zero": true.
  static Result<bool> is_dirty_by_data(const Fields& fields) {
    if (DRSEED_TRY(fields.get<bool>("zero", "true or false"))) {
      return fail(
          ErrorCode::kUsage,
          "\"zero\" is true: this is a map of what is allocated, which does not tell what changed; make it with "
          "x-dirty-bitmap=qemu:dirty-bitmap:NAME");
    }
    return !DRSEED_TRY(fields.get<bool>("data", "true or false"));
  }

  MapKind kind_;
  const FileInfo& info_;
  DirtyBitmap& bits_;
  std::uint64_t count_ = 0;
  std::uint64_t at_ = 0;  // where the next extent of a whole map begins
  bool any_dirty_ = false;
};

// Follows the text: an array of entries, or an object with an array "runs" of them. Each handler returns false to stop.
class Handler : public nlohmann::json_sax<Json> {
 public:
  Handler(MapKind kind, const FileInfo& info, DirtyBitmap& bits)
      : auto_(kind == MapKind::kAuto), info_(info), entries_(kind, info, bits) {}

  Result<> result() const {
    if (error_) return tl::unexpected(*error_);
    DRSEED_TRY(entries_.finish(auto_));
    return {};
  }

  bool null() override { return value(std::monostate{}); }
  bool boolean(bool is) override { return value(is); }
  bool number_integer(number_integer_t) override { return value(std::monostate{}); }
  bool number_unsigned(number_unsigned_t number) override { return value(std::uint64_t{number}); }
  bool number_float(number_float_t, const string_t&) override { return value(std::monostate{}); }
  bool string(string_t& text) override { return value(std::move(text)); }
  bool binary(binary_t&) override { return stop("holds binary data"); }
  bool key(string_t& name) override {
    key_ = std::move(name);
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::kOutside) {
      place_ = Place::kTop;
      return keep(entries_.expect(MapKind::kJson));
    }
    if (place_ != Place::kList) return stop("an object where none is expected");
    place_ = Place::kEntry;
    fields_.clear();
    return true;
  }
  bool end_object() override {
    if (place_ == Place::kTop) return keep(finish_top());
    place_ = Place::kList;
    return keep(entries_.add(fields_, !in_top_));
  }
  bool start_array(std::size_t) override {
    const bool runs = place_ == Place::kTop && key_ == "runs" && !had_list_;
    if (place_ != Place::kOutside && !runs) return stop("an array where none is expected");
    if (place_ == Place::kOutside && entries_.kind() == MapKind::kJson)
      return keep(fail(ErrorCode::kUsage, "is an array, expected format json: an object with \"runs\""));
    in_top_ = runs;
    had_list_ = true;
    place_ = Place::kList;
    return true;
  }
  bool end_array() override {
    place_ = in_top_ ? Place::kTop : Place::kOutside;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return stop(fmt::format("is no JSON, or cut short, at byte {}", position));
  }

 private:
  enum class Place { kOutside, kTop, kList, kEntry };

  bool value(Value value) {
    if (place_ == Place::kTop) return top_.add(key_, std::move(value)) || stop("too many fields, or one twice");
    if (place_ == Place::kEntry) {
      return fields_.add(key_, std::move(value)) ||
             stop(fmt::format("entry {}: too many fields, or one twice", entries_.count()));
    }
    return stop("a value where an entry is expected");
  }

  Result<> finish_top() {
    place_ = Place::kOutside;
    const auto bytes = DRSEED_TRY(top_.number("volume_bytes"));
    if (bytes != info_.volume_bytes) {
      return fail(ErrorCode::kDiffers, "is of a volume of {} bytes, expected {}", bytes, info_.volume_bytes);
    }
    if (!had_list_) return fail(ErrorCode::kDiffers, "has no \"runs\"");
    return {};
  }

  bool keep(Result<> result) {
    if (!result && !error_) error_ = result.error();
    return result.has_value();
  }
  bool stop(std::string why) { return keep(fail(ErrorCode::kDiffers, "{}", why)); }

  const bool auto_;
  const FileInfo& info_;
  Entries entries_;
  Place place_ = Place::kOutside;
  bool in_top_ = false;    // the list is the "runs" of an object
  bool had_list_ = false;  // of the object, or the array itself
  std::string key_;
  Fields top_, fields_;
  std::optional<Error> error_;
};

}  // namespace

Result<> read_map_json(std::string_view text, MapKind kind, const FileInfo& info, DirtyBitmap& bits) {
  Handler handler(kind, info, bits);
  (void)Json::sax_parse(text.begin(), text.end(), &handler);  // a false leaves its reason in the handler
  return handler.result();
}

}  // namespace drseed::bitmap
