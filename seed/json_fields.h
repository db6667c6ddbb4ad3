#pragma once
// Reads fields of a JSON object that may be hostile: every one is there, of the right type and within its limits, or
// the first failure is kept and the object is refused. No exceptions.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace drseed::seed {

constexpr std::size_t kTextBytesMax = 4096;  // of a text, where nothing else is said

class JsonFields {
 public:
  // `name` is for messages: "drseed/header.json". `object` must outlive this.
  JsonFields(const nlohmann::json& object, std::string name);

  std::uint64_t number(std::string_view key, std::uint64_t max);
  std::string text(std::string_view key, std::size_t length_max = kTextBytesMax);
  bool flag(std::string_view key);
  void hex(std::string_view key, std::span<std::uint8_t> out);
  JsonFields object(std::string_view key);
  bool has(std::string_view key) const;  // present and not null
  const nlohmann::json& raw(std::string_view key) const;

  void refuse(std::string_view key, std::string_view why);
  // The first failure of this object or of one read through object() and merged.
  Result<> result() const;
  void merge(const JsonFields& child);

 private:
  const nlohmann::json* find(std::string_view key) const;

  const nlohmann::json* object_;
  std::string name_;
  std::string failure_;
};

// The whole text as one JSON object; kDiffers otherwise.
Result<nlohmann::json> parse_json_object(std::string_view text, std::string_view name);

}  // namespace drseed::seed
