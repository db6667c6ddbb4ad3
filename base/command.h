#pragma once
// What every subcommand shares: its options, its questions, its result as text or JSON, its exit status.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "base/exit_status.h"

namespace drseed {

struct CommandOptions {
  bool json = false;
  bool yes = false;
  bool quiet = false;
};

void add_json_option(CLI::App& command, CommandOptions& options);
void add_quiet_option(CLI::App& command, CommandOptions& options);
void add_yes_option(CLI::App& command, CommandOptions& options);

// Result of a command for --json; "exit_status" and, on an Error, "error" are added.
using Outcome = Result<std::pair<ExitStatus, nlohmann::json>>;

// Runs the command, prints its JSON or its Error, returns the exit status. `run` prints the result for people.
int finish_command(const CommandOptions& options, const std::function<Outcome()>& run);

// True if the answer is yes: --yes was given, or a person at the terminal typed it.
bool confirmed(const CommandOptions& options, const std::string& question);

// Writes to standard output. A failure (full disk, closed pipe) is kept, and finish_command() reports it.
void print_out(std::string_view text);

// Text for people on standard output, unless --json was asked for.
template <typename... Args>
void say(const CommandOptions& options, fmt::format_string<Args...> text, Args&&... args) {
  if (options.json) return;
  print_out(fmt::format(text, std::forward<Args>(args)...) + "\n");
}

}  // namespace drseed
