#pragma once
// A JSON text that holds a SHA-256 of itself in its field "check": of the whole text, with the field's digits as zeros.
// The field must be the first of that name in the text. Every byte is covered, white space too.

#include <string>
#include <string_view>

#include "base/result.h"

namespace drseed::seed {

// What the field holds before the text is sealed.
extern const std::string kUnsealed;

// Precondition: the text has the field, written as "check": "DIGITS".
std::string seal(std::string text);

// kDiffers if the text is not, to the bit, what seal() returned. `name` is for messages.
Result<> check_seal(std::string_view text, std::string_view name);

}  // namespace drseed::seed
