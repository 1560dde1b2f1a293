/*
 * DCMI, the vendor's device management interface, as far as discovery, topology and health need it:
 * prototypes, layouts and values as hicann/driver declares them in
 * src/custom/include/dcmi_interface_api.h (tests/abi holds this file against them). A program
 * written for the vendor's header compiles against this one.
 *
 * Every function returns 0 or one of DCMI_ERR_CODE_*. A device is named by its card and its number
 * in the card: [0, device_id_max) are NPUs, what follows is a controller. Outputs are undefined
 * unless 0 is returned.
 */
#ifndef NPU_IPC_HAL_DCMI_DCMI_INTERFACE_API_H_
#define NPU_IPC_HAL_DCMI_DCMI_INTERFACE_API_H_

#ifdef __cplusplus
extern "C" {
#endif

#define MAX_CARD_NUM 64
#define MAX_CHIP_NAME_LEN 32
#define DIE_ID_COUNT 5
#define TOPO_INFO_MAX_LENTH 32

#define DCMI_OK 0
#define DCMI_ERROR_CODE_BASE (-8000)
#define DCMI_ERR_CODE_INVALID_PARAMETER (-8001)
#define DCMI_ERR_CODE_OPER_NOT_PERMITTED (-8002)
#define DCMI_ERR_CODE_MEM_OPERATE_FAIL (-8003)
#define DCMI_ERR_CODE_SECURE_FUN_FAIL (-8004)
#define DCMI_ERR_CODE_INNER_ERR (-8005) /* also: another container has the device */
#define DCMI_ERR_CODE_TIME_OUT (-8006)
#define DCMI_ERR_CODE_INVALID_DEVICE_ID (-8007)
#define DCMI_ERR_CODE_DEVICE_NOT_EXIST (-8008)
#define DCMI_ERR_CODE_IOCTL_FAIL (-8009)
#define DCMI_ERR_CODE_SEND_MSG_FAIL (-8010)
#define DCMI_ERR_CODE_RECV_MSG_FAIL (-8011)
#define DCMI_ERR_CODE_NOT_REDAY (-8012)
#define DCMI_ERR_CODE_NOT_SUPPORT_IN_CONTAINER (-8013)
#define DCMI_ERR_CODE_FILE_OPERATE_FAIL (-8014)
#define DCMI_ERR_CODE_RESET_FAIL (-8015)
#define DCMI_ERR_CODE_ABORT_OPERATE (-8016)
#define DCMI_ERR_CODE_IS_UPGRADING (-8017)
#define DCMI_ERR_CODE_RESOURCE_OCCUPIED (-8020)
#define DCMI_ERR_CODE_PARTITION_NOT_RIGHT (-8022)
#define DCMI_ERR_CODE_CONFIG_INFO_NOT_EXIST (-8023)
#define DCMI_ERR_CODE_NOT_SUPPORT (-8255)

/* For dcmi_get_device_utilization_rate; answers are percent. */
#define DCMI_UTILIZATION_RATE_DDR 1
#define DCMI_UTILIZATION_RATE_AICORE 2
#define DCMI_UTILIZATION_RATE_AICPU 3
#define DCMI_UTILIZATION_RATE_CTRLCPU 4
#define DCMI_UTILIZATION_RATE_DDR_BANDWIDTH 5
#define DCMI_UTILIZATION_RATE_HBM 6
#define DCMI_UTILIZATION_RATE_HBM_BANDWIDTH 10
#define DCMI_UTILIZATION_RATE_VECTORCORE 12
#define DCMI_UTILIZATION_RATE_NPU 13
#define DCMI_UTILIZATION_RATE_AICUBE 14

/* For dcmi_get_topo_info_by_device_id. 910B's documentation ends at BUTT = 6: it has no SIO. */
enum {
  DCMI_TOPO_TYPE_SELF = 0,
  DCMI_TOPO_TYPE_SYS = 1,
  DCMI_TOPO_TYPE_PHB = 2,
  DCMI_TOPO_TYPE_HCCS = 3,
  DCMI_TOPO_TYPE_PXB = 4,
  DCMI_TOPO_TYPE_PIX = 5,
  DCMI_TOPO_TYPE_SIO = 6,
  DCMI_TOPO_TYPE_HCCS_SW = 7,
  DCMI_TOPO_TYPE_UB = 8,
  DCMI_TOPO_TYPE_BUTT = 9
};

enum dcmi_unit_type { NPU_TYPE = 0, MCU_TYPE = 1, CPU_TYPE = 2, INVALID_TYPE = 0xFF };

enum dcmi_die_type { NDIE = 0, VDIE = 1, DDIE = 2, INVALID_DIE = 3 };

/* For dcmi_get_device_info: the one command that is needed here. */
enum dcmi_main_cmd { DCMI_MAIN_CMD_CHIP_INF = 12, DCMI_MAIN_CMD_MAX = 0x8004 };

typedef enum {
  DCMI_CHIP_INF_SUB_CMD_CHIP_ID = 0,
  DCMI_CHIP_INF_SUB_CMD_SPOD_INFO = 1,
  DCMI_CHIP_INF_SUB_CMD_SPOD_NODE_STATUS = 2,
  DCMI_CHIP_INF_SUB_CMD_MAX = 0xFF
} DCMI_CHIP_INFO_SUB_CMD;

/* Texts fill their arrays and need not end in a NUL. */
struct dcmi_chip_info {
  unsigned char chip_type[MAX_CHIP_NAME_LEN];
  unsigned char chip_name[MAX_CHIP_NAME_LEN];
  unsigned char chip_ver[MAX_CHIP_NAME_LEN];
  unsigned int aicore_cnt;
};

struct dcmi_chip_info_v2 {
  unsigned char chip_type[MAX_CHIP_NAME_LEN];
  unsigned char chip_name[MAX_CHIP_NAME_LEN];
  unsigned char chip_ver[MAX_CHIP_NAME_LEN];
  unsigned int aicore_cnt;
  unsigned char npu_name[MAX_CHIP_NAME_LEN]; /* the model on the module */
};

struct dcmi_pcie_info_all {
  unsigned int venderid;
  unsigned int subvenderid;
  unsigned int deviceid;
  unsigned int subdeviceid;
  int domain;
  unsigned int bdf_busid;
  unsigned int bdf_deviceid;
  unsigned int bdf_funcid;
  unsigned char reserve[32];
};

struct dcmi_board_info {
  unsigned int board_id;
  unsigned int pcb_id;
  unsigned int bom_id;
  unsigned int slot_id;
};

struct dcmi_die_id {
  unsigned int soc_die[DIE_ID_COUNT];
};

struct dcmi_hbm_info {
  unsigned long long memory_size;  /* MiB */
  unsigned int freq;               /* MHz */
  unsigned long long memory_usage; /* MiB */
  int temp;                        /* degrees Celsius */
  unsigned int bandwith_util_rate; /* percent */
};

struct dcmi_proc_mem_info {
  int proc_id;                  /* on the host */
  unsigned long proc_mem_usage; /* bytes */
};

struct dcmi_spod_info {
  unsigned int sdid;
  unsigned int super_pod_size;
  unsigned int super_pod_id;
  unsigned int server_index;
  unsigned int chassis_id;
  unsigned int super_pod_type;
  unsigned int reserve[6];
};

#define DCMI_EVENT_FILTER_FLAG_EVENT_ID (1UL << 0)
#define DCMI_EVENT_FILTER_FLAG_SERVERITY (1UL << 1)
#define DCMI_EVENT_FILTER_FLAG_NODE_TYPE (1UL << 2)
#define DCMI_MAX_EVENT_NAME_LENGTH 256
#define DCMI_MAX_EVENT_DATA_LENGTH 32
#define DCMI_MAX_EVENT_RESV_LENGTH 32

struct dcmi_event_filter {
  unsigned long long filter_flag;
  unsigned int event_id;
  unsigned char severity;
  unsigned char node_type;
  unsigned char resv[DCMI_MAX_EVENT_RESV_LENGTH];
};

struct dcmi_dms_fault_event {
  unsigned int event_id;
  unsigned short deviceid;
  unsigned char node_type;
  unsigned char node_id;
  unsigned char sub_node_type;
  unsigned char sub_node_id;
  unsigned char severity;
  unsigned char assertion;
  int event_serial_num;
  int notify_serial_num;
  unsigned long long alarm_raised_time;
  char event_name[DCMI_MAX_EVENT_NAME_LENGTH];
  char additional_info[DCMI_MAX_EVENT_DATA_LENGTH];
  unsigned char os_id;
  unsigned char resv_1[1];
  unsigned short node_type_ex;
  unsigned short sub_node_type_ex;
  unsigned char resv_2[2];
  unsigned char resv[DCMI_MAX_EVENT_RESV_LENGTH - 8];
};

enum dcmi_event_type { DCMI_DMS_FAULT_EVENT = 0, DCMI_EVENT_TYPE_MAX = 1 };

struct dcmi_event {
  enum dcmi_event_type type;
  union {
    struct dcmi_dms_fault_event dms_event;
  } event_t;
};

typedef void (*dcmi_fault_event_callback)(struct dcmi_event* event);

/* Before any other call; again is harmless. */
int dcmi_init(void);
int dcmi_get_dcmi_version(char* dcmi_ver, unsigned int len);
int dcmi_get_driver_version(char* driver_ver, unsigned int len);

int dcmi_get_card_list(int* card_num, int* card_list, int list_len);
int dcmi_get_device_num_in_card(int card_id, int* device_num);
/* mcu_id and cpu_id: -1 where there is none. */
int dcmi_get_device_id_in_card(int card_id, int* device_id_max, int* mcu_id, int* cpu_id);
int dcmi_get_device_type(int card_id, int device_id, enum dcmi_unit_type* device_type);
int dcmi_get_device_logic_id(int* device_logic_id, int card_id, int device_id);
int dcmi_get_device_phyid_from_logicid(unsigned int logicid, unsigned int* phyid);
int dcmi_get_device_logicid_from_phyid(unsigned int phyid, unsigned int* logicid);
int dcmi_get_card_id_device_id_from_logicid(int* card_id, int* device_id,
                                            unsigned int device_logic_id);
int dcmi_get_card_id_device_id_from_phyid(int* card_id, int* device_id, unsigned int device_phy_id);

int dcmi_get_device_chip_info(int card_id, int device_id, struct dcmi_chip_info* chip_info);
int dcmi_get_device_chip_info_v2(int card_id, int device_id, struct dcmi_chip_info_v2* chip_info);
int dcmi_get_device_pcie_info_v2(int card_id, int device_id, struct dcmi_pcie_info_all* pcie_info);
int dcmi_get_device_board_info(int card_id, int device_id, struct dcmi_board_info* board_info);
int dcmi_get_mainboard_id(int card_id, int device_id, unsigned int* mainboard_id);
int dcmi_get_device_die_v2(int card_id, int device_id, enum dcmi_die_type input_type,
                           struct dcmi_die_id* die_id);
int dcmi_get_device_info(int card_id, int device_id, enum dcmi_main_cmd main_cmd,
                         unsigned int sub_cmd, void* buf, unsigned int* size);

/* health: 0 fine, 1 minor, 2 major, 3 critical, 0xFFFFFFFF absent or not started. */
int dcmi_get_device_health(int card_id, int device_id, unsigned int* health);
/* error_count: 0 to 128. */
int dcmi_get_device_errorcode_v2(int card_id, int device_id, int* error_count,
                                 unsigned int* error_code_list, unsigned int list_len);
int dcmi_get_device_temperature(int card_id, int device_id, int* temperature);
int dcmi_get_device_hbm_info(int card_id, int device_id, struct dcmi_hbm_info* hbm_info);
int dcmi_get_device_utilization_rate(int card_id, int device_id, int input_type,
                                     unsigned int* utilization_rate);
/* proc_info: room for 32. An ordinary container sees its own processes alone. */
int dcmi_get_device_resource_info(int card_id, int device_id, struct dcmi_proc_mem_info* proc_info,
                                  int* proc_num);
/* card_id and device_id -1: of all. At most once a process, in at most 64 processes. */
int dcmi_subscribe_fault_event(int card_id, int device_id, struct dcmi_event_filter filter,
                               dcmi_fault_event_callback handler);

int dcmi_get_topo_info_by_device_id(int card_id1, int device_id1, int card_id2, int device_id2,
                                    int* topo_type);
/* affinity_cpu: the CPUs of the device's NUMA node, as /sys lists them ("0-23,96-119"). */
int dcmi_get_affinity_cpu_info_by_device_id(int card_id, int device_id, char* affinity_cpu,
                                            int* length);

int dcmi_get_device_share_enable(int card_id, int device_id, int* enable_flag);
int dcmi_set_device_share_enable(int card_id, int device_id, int enable_flag);

#ifdef __cplusplus
}
#endif

#endif /* NPU_IPC_HAL_DCMI_DCMI_INTERFACE_API_H_ */
