/** Every command, for main's table. */
#ifndef ECKART_CLI_COMMANDS_H
#define ECKART_CLI_COMMANDS_H

#include "opt.h"

extern const command command_svd;
extern const command command_inspect;
extern const command command_analyze;
extern const command command_plan;
extern const command command_compress;
extern const command command_verify;
extern const command command_restore;
extern const command command_lora;
extern const command command_doctor;
extern const command command_tensor;
extern const command command_bench;

#endif
