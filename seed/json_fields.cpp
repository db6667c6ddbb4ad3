#include "seed/json_fields.h"

#include "base/hex.h"

namespace drseed::seed {
namespace {

const nlohmann::json kNull;
constexpr int kDepthMax = 64;  // copying and writing a document take stack by its depth

}  // namespace

JsonFields::JsonFields(const nlohmann::json& object, std::string name) : object_(&object), name_(std::move(name)) {
  if (!object.is_object()) failure_ = fmt::format("{}: not an object", name_);
}

const nlohmann::json* JsonFields::find(std::string_view key) const {
  if (!object_->is_object()) return nullptr;
  const auto found = object_->find(std::string(key));
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

void JsonFields::refuse(std::string_view key, std::string_view why) {
  if (failure_.empty()) failure_ = fmt::format("{}: field '{}' {}", name_, key, why);
}

std::uint64_t JsonFields::number(std::string_view key, std::uint64_t max) {
  const auto* value = find(key);
  if (value == nullptr || !value->is_number_unsigned()) {
    refuse(key, "is missing or no natural number");
    return 0;
  }
  const auto number = value->get<std::uint64_t>();
  if (number > max) {
    refuse(key, fmt::format("is {}, more than the {} it can be", number, max));
    return 0;
  }
  return number;
}

std::string JsonFields::text(std::string_view key, std::size_t length_max) {
  const auto* value = find(key);
  if (value == nullptr || !value->is_string() || value->get_ref<const std::string&>().size() > length_max) {
    refuse(key, "is missing, no text, or too long");
    return {};
  }
  return value->get<std::string>();
}

bool JsonFields::flag(std::string_view key) {
  const auto* value = find(key);
  if (value == nullptr || !value->is_boolean()) {
    refuse(key, "is missing or neither true nor false");
    return false;
  }
  return value->get<bool>();
}

void JsonFields::hex(std::string_view key, std::span<std::uint8_t> out) {
  if (!from_hex(text(key), out)) refuse(key, fmt::format("is not {} hexadecimal digits", out.size() * 2));
}

JsonFields JsonFields::object(std::string_view key) {
  const auto* value = find(key);
  return {value == nullptr ? kNull : *value, fmt::format("{}: {}", name_, key)};
}

bool JsonFields::has(std::string_view key) const {
  return find(key) != nullptr;
}

const nlohmann::json& JsonFields::raw(std::string_view key) const {
  const auto* value = find(key);
  return value == nullptr ? kNull : *value;
}

void JsonFields::merge(const JsonFields& child) {
  if (failure_.empty()) failure_ = child.failure_;
}

Result<> JsonFields::result() const {
  if (failure_.empty()) return {};
  return fail(ErrorCode::kDiffers, "{}", failure_);
}

Result<nlohmann::json> parse_json_object(std::string_view text, std::string_view name) {
  bool too_deep = false;
  const auto watch_depth = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    too_deep = too_deep || depth > kDepthMax;
    return !too_deep;
  };
  auto json = nlohmann::json::parse(text.begin(), text.end(), watch_depth, false);
  if (too_deep) return fail(ErrorCode::kDiffers, "{}: nested more than {} deep", name, kDepthMax);
  if (json.is_discarded() || !json.is_object()) return fail(ErrorCode::kDiffers, "{}: not a JSON object", name);
  return json;
}

}  // namespace drseed::seed
