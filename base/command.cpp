#include "base/command.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "base/log.h"

namespace drseed {

void add_json_option(CLI::App& command, CommandOptions& options) {
  command.add_flag("--json", options.json, "Print the result as JSON on standard output");
}

void add_quiet_option(CLI::App& command, CommandOptions& options) {
  command.add_flag("-q,--quiet", options.quiet, "No progress on the terminal");
}

void add_yes_option(CLI::App& command, CommandOptions& options) {
  command.add_flag("-y,--yes", options.yes, "Answer yes to the questions asked on a terminal");
}

void print_out(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

int finish_command(const CommandOptions& options, const std::function<Outcome()>& run) {
  auto outcome = run();
  nlohmann::json result = nlohmann::json::object();
  ExitStatus status = kExitDone;
  if (outcome) {
    status = outcome->first;
    result = std::move(outcome->second);
  } else {
    status = exit_status_of(outcome.error().code);
    result["error"] = outcome.error().message();
    log::error("{}", outcome.error().message());
  }
  result["exit_status"] = static_cast<int>(status);
  if (options.json) print_out(result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    log::error("standard output: cannot be written");
    if (status == kExitDone) status = kExitEnvironment;
  }
  return status;
}

bool confirmed(const CommandOptions& options, const std::string& question) {
  if (options.yes) return true;
  if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1) return false;
  fmt::print(stderr, "{} Type yes to go on: ", question);
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "yes";
}

}  // namespace drseed
