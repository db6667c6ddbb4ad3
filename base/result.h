#pragma once
// What a function that can fail returns: Result<T>, either a value or an Error.
//
// Disk, network and user errors are Errors; programmer errors are asserts, which stay on in release. No exception
// leaves a module. An Error names the object, the offset, what was expected, what was found and what to do, in its
// context.

#include <fmt/format.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace drseed {

// What kind of failure it is; decides a command's exit status (exit_status.h).
enum class ErrorCode {
  kDiffers,      // data differ from what they should be: a digest, a damaged or truncated image
  kUsage,        // the command line or the configuration is wrong
  kEnvironment,  // I/O error, disk full, no such file, peer unreachable
  kRefused,      // would be dangerous; the context names the flag that overrides it
  kInterrupted,  // stopped by a signal, or because another part of the same job failed
};

struct [[nodiscard]] Error {
  ErrorCode code = ErrorCode::kEnvironment;
  int system_errno = 0;  // 0: not from a system call
  std::string context;

  // The whole message for a person, with the system's reason appended where there is one.
  std::string message() const;
};

template <typename T = void>
using Result = tl::expected<T, Error>;

template <typename... Args>
tl::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> text, Args&&... args) {
  return tl::unexpected(Error{code, 0, fmt::format(text, std::forward<Args>(args)...)});
}

// For a failed system call: pass errno (or a negated io_uring result) as system_errno.
template <typename... Args>
tl::unexpected<Error> fail_errno(int system_errno, fmt::format_string<Args...> text, Args&&... args) {
  return tl::unexpected(Error{ErrorCode::kEnvironment, system_errno, fmt::format(text, std::forward<Args>(args)...)});
}

namespace detail {
template <typename T>
T unwrap(Result<T>&& result) {
  return std::move(*result);
}
inline void unwrap(Result<void>&&) {}
}  // namespace detail

}  // namespace drseed

// Evaluates to the value of a Result, or returns its Error from the enclosing function.
#define DRSEED_TRY(...)                                                                  \
  __extension__({                                                                        \
    auto drseed_try_result = (__VA_ARGS__);                                              \
    if (!drseed_try_result) return tl::unexpected(std::move(drseed_try_result).error()); \
    ::drseed::detail::unwrap(std::move(drseed_try_result));                              \
  })
