/* Plain C against the installed header: opens a client where there is no broker, and says why
 * not. */
#include <npu_ipc.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  npu_ipc_open_options options = {0};
  npu_ipc_client* client = NULL;
  npu_ipc_status status;
  char why[256] = "";
  options.struct_bytes = sizeof(options);
  options.socket_path = "/nonexistent/broker.sock";
  options.timeout_ms = 1;
  status = npu_ipc_open(&options, &client);
  npu_ipc_last_error(client, why, sizeof(why));
  npu_ipc_close(client);
  printf("npu_ipc %s: %s: %s\n", npu_ipc_version(), npu_ipc_status_name(status), why);
  return status == NPU_IPC_NO_BROKER && strstr(why, options.socket_path) != NULL ? 0 : 1;
}
