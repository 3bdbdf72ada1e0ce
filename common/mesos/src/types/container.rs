//! Commands, containers and checks.

use super::{ContainerId, Credential, Labels, Parameter, Parameters};

message! {
    /// What to run.
    #[derive(Eq)]
    CommandInfo {
        repeated message Uri uris = 1;
        optional message Environment environment = 2;
        /// Whether a shell runs `value`; otherwise it is a program, or absent for an image's own.
        optional bool shell = 6 [default = true];
        optional string value = 3;
        repeated string arguments = 7;
        optional string user = 5;
    }
}

message! {
    /// A file that is fetched into the sandbox.
    #[derive(Eq)]
    Uri {
        required string value = 1;
        optional bool executable = 2;
        optional bool extract = 3 [default = true];
        optional bool cache = 4;
        optional string output_file = 5;
    }
}

message! {
    /// Variables of a process.
    #[derive(Eq)]
    Environment {
        repeated message Variable variables = 1;
    }
}

enumeration! {
    /// Where a variable's value comes from.
    VariableType {
        UNKNOWN Unknown = 0;
        VALUE Value = 1;
        SECRET Secret = 2;
    }
}

message! {
    /// A variable of a process.
    #[derive(Eq)]
    Variable {
        required string name = 1;
        optional enumeration VariableType r#type = 3 [default = "Value"];
        optional string value = 2;
        optional message Secret secret = 4;
    }
}

enumeration! {
    /// How a secret is given.
    SecretType {
        UNKNOWN Unknown = 0;
        REFERENCE Reference = 1;
        VALUE Value = 2;
    }
}

message! {
    /// Something that must not be shown.
    #[derive(Eq)]
    Secret {
        optional enumeration SecretType r#type = 1;
        optional message SecretReference reference = 2;
        optional message SecretValue value = 3;
    }
}

message! {
    /// The place of a secret in a store.
    #[derive(Eq)]
    SecretReference {
        required string name = 1;
        optional string key = 2;
    }
}

message! {
    /// The secret itself.
    #[derive(Eq)]
    SecretValue {
        required bytes data = 1;
    }
}

enumeration! {
    /// Who runs a container.
    ContainerType {
        DOCKER Docker = 1;
        MESOS Mesos = 2;
    }
}

message! {
    /// What a process runs in.
    #[derive(Eq)]
    ContainerInfo {
        required enumeration ContainerType r#type = 1;
        repeated message Volume volumes = 2;
        optional string hostname = 4;
        optional message DockerInfo docker = 3;
        optional message MesosInfo mesos = 5;
        repeated message NetworkInfo network_infos = 7;
        optional message LinuxInfo linux_info = 8;
        optional message RLimitInfo rlimit_info = 9;
        optional message TtyInfo tty_info = 10;
    }
}

enumeration! {
    /// The network of a Docker container.
    DockerNetwork {
        HOST Host = 1;
        BRIDGE Bridge = 2;
        NONE None = 3;
        USER User = 4;
    }
}

message! {
    /// A container that Docker runs.
    #[derive(Eq)]
    DockerInfo {
        required string image = 1;
        optional enumeration DockerNetwork network = 2 [default = "Host"];
        repeated message PortMapping port_mappings = 3;
        optional bool privileged = 4 [default = false];
        repeated message Parameter parameters = 5;
        optional bool force_pull_image = 6;
        optional string volume_driver = 7;
    }
}

message! {
    /// A port of the host that leads to one of a container.
    #[derive(Eq)]
    PortMapping {
        required uint32 host_port = 1;
        required uint32 container_port = 2;
        optional string protocol = 3;
    }
}

message! {
    /// A container that the agent itself runs.
    #[derive(Eq)]
    MesosInfo {
        optional message Image image = 1;
    }
}

enumeration! {
    /// The format of an image.
    ImageType {
        APPC Appc = 1;
        DOCKER Docker = 2;
    }
}

message! {
    /// The files of a container.
    #[derive(Eq)]
    Image {
        required enumeration ImageType r#type = 1;
        optional message AppcImage appc = 2;
        optional message DockerImage docker = 3;
        optional bool cached = 4 [default = true];
    }
}

message! {
    /// An image of the App Container specification.
    #[derive(Eq)]
    AppcImage {
        required string name = 1;
        optional string id = 2;
        optional message Labels labels = 3;
    }
}

message! {
    /// An image of Docker.
    #[derive(Eq)]
    DockerImage {
        required string name = 1;
        optional message Credential credential = 2;
        optional message Secret config = 3;
    }
}

enumeration! {
    /// Whether a volume may be written.
    VolumeMode {
        RW ReadWrite = 1;
        RO ReadOnly = 2;
    }
}

message! {
    /// A folder within a container.
    #[derive(Eq)]
    Volume {
        required enumeration VolumeMode mode = 3;
        required string container_path = 1;
        optional string host_path = 2;
        optional message Image image = 4;
        optional message VolumeSource source = 5;
    }
}

enumeration! {
    /// Where a volume comes from.
    VolumeSourceType {
        UNKNOWN Unknown = 0;
        DOCKER_VOLUME DockerVolume = 1;
        HOST_PATH HostPath = 4;
        SANDBOX_PATH SandboxPath = 2;
        SECRET Secret = 3;
        CSI_VOLUME CsiVolume = 5;
    }
}

message! {
    /// Where a volume comes from.
    #[derive(Eq)]
    VolumeSource {
        optional enumeration VolumeSourceType r#type = 1;
        optional message DockerVolume docker_volume = 2;
        optional message HostPath host_path = 5;
        optional message SandboxPath sandbox_path = 3;
        optional message Secret secret = 4;
    }
}

message! {
    /// A volume of a Docker driver.
    #[derive(Eq)]
    DockerVolume {
        optional string driver = 1;
        required string name = 2;
        optional message Parameters driver_options = 3;
    }
}

message! {
    /// A folder of the host.
    #[derive(Eq)]
    HostPath {
        required string path = 1;
    }
}

enumeration! {
    /// Whose sandbox.
    SandboxPathType {
        UNKNOWN Unknown = 0;
        SELF Own = 1;
        PARENT Parent = 2;
    }
}

message! {
    /// A folder of a sandbox.
    #[derive(Eq)]
    SandboxPath {
        optional enumeration SandboxPathType r#type = 1;
        required string path = 2;
    }
}

enumeration! {
    /// The version of an address.
    IpProtocol {
        IPv4 Ipv4 = 1;
        IPv6 Ipv6 = 2;
    }
}

message! {
    /// A network that a container joins.
    #[derive(Eq)]
    NetworkInfo {
        repeated message IpAddress ip_addresses = 5;
        optional string name = 6;
        repeated string groups = 3;
        optional message Labels labels = 4;
        repeated message PortMapping port_mappings = 7;
    }
}

message! {
    /// An address of a container.
    #[derive(Eq)]
    IpAddress {
        optional enumeration IpProtocol protocol = 1 [default = "Ipv4"];
        optional string ip_address = 2;
    }
}

enumeration! {
    /// Whether processes see those of the agent.
    IpcMode {
        UNKNOWN Unknown = 0;
        PRIVATE Private = 1;
        SHARE_PARENT ShareParent = 2;
    }
}

message! {
    /// What only Linux has; its capabilities and system call filters are left out here.
    #[derive(Eq)]
    LinuxInfo {
        optional bool share_pid_namespace = 4;
        optional enumeration IpcMode ipc_mode = 6;
        optional uint32 shm_size = 7;
        optional bool share_cgroups = 8 [default = true];
    }
}

enumeration! {
    /// What is limited for a process.
    RLimitType {
        UNKNOWN Unknown = 0;
        RLMT_AS AddressSpace = 1;
        RLMT_CORE Core = 2;
        RLMT_CPU Cpu = 3;
        RLMT_DATA Data = 4;
        RLMT_FSIZE FileSize = 5;
        RLMT_LOCKS Locks = 6;
        RLMT_MEMLOCK LockedMemory = 7;
        RLMT_MSGQUEUE MessageQueue = 8;
        RLMT_NICE Nice = 9;
        RLMT_NOFILE OpenFiles = 10;
        RLMT_NPROC Processes = 11;
        RLMT_RSS Resident = 12;
        RLMT_RTPRIO RealTimePriority = 13;
        RLMT_RTTIME RealTime = 14;
        RLMT_SIGPENDING PendingSignals = 15;
        RLMT_STACK Stack = 16;
    }
}

message! {
    /// Limits of a process.
    #[derive(Eq)]
    RLimitInfo {
        repeated message RLimit rlimits = 1;
    }
}

message! {
    /// A limit of a process.
    #[derive(Eq)]
    RLimit {
        optional enumeration RLimitType r#type = 1;
        optional uint64 hard = 2;
        optional uint64 soft = 3;
    }
}

message! {
    /// A terminal.
    #[derive(Eq)]
    TtyInfo {
        optional message WindowSize window_size = 1;
    }
}

message! {
    /// The size of a terminal.
    #[derive(Eq)]
    WindowSize {
        required uint32 rows = 1;
        required uint32 columns = 2;
    }
}

message! {
    /// What an agent says of a container.
    #[derive(Eq)]
    ContainerStatus {
        optional message ContainerId container_id = 4;
        repeated message NetworkInfo network_infos = 1;
        optional message CgroupInfo cgroup_info = 2;
        optional uint32 executor_pid = 3;
    }
}

message! {
    /// The control group of a container; its statistics are left out here.
    #[derive(Eq)]
    CgroupInfo {
        optional message NetCls net_cls = 1;
    }
}

message! {
    /// The class of a container's packets.
    #[derive(Eq)]
    NetCls {
        optional uint32 classid = 1;
    }
}

enumeration! {
    /// How something is checked.
    CheckType {
        UNKNOWN Unknown = 0;
        COMMAND Command = 1;
        HTTP Http = 2;
        TCP Tcp = 3;
    }
}

message! {
    /// A check whose failure ends a task.
    HealthCheck {
        optional double delay_seconds = 2 [default = 15.0];
        optional double interval_seconds = 3 [default = 10.0];
        optional double timeout_seconds = 4 [default = 20.0];
        optional uint32 consecutive_failures = 5 [default = 3];
        optional double grace_period_seconds = 6 [default = 10.0];
        optional enumeration CheckType r#type = 8;
        optional message CommandInfo command = 7;
        optional message HttpCheck http = 1;
        optional message TcpCheck tcp = 9;
    }
}

message! {
    /// A health check over HTTP.
    #[derive(Eq)]
    HttpCheck {
        optional enumeration IpProtocol protocol = 5 [default = "Ipv4"];
        optional string scheme = 3;
        required uint32 port = 1;
        optional string path = 2;
        unpacked uint32 statuses = 4;
    }
}

message! {
    /// A health check that connects.
    #[derive(Eq)]
    TcpCheck {
        optional enumeration IpProtocol protocol = 2 [default = "Ipv4"];
        required uint32 port = 1;
    }
}

message! {
    /// A check whose result is reported and has no consequence.
    CheckInfo {
        optional enumeration CheckType r#type = 1;
        optional message CheckCommand command = 2;
        optional message CheckHttp http = 3;
        optional message CheckTcp tcp = 7;
        optional double delay_seconds = 4 [default = 15.0];
        optional double interval_seconds = 5 [default = 10.0];
        optional double timeout_seconds = 6 [default = 20.0];
    }
}

message! {
    /// A check by a command.
    #[derive(Eq)]
    CheckCommand {
        required message CommandInfo command = 1;
    }
}

message! {
    /// A check over HTTP.
    #[derive(Eq)]
    CheckHttp {
        required uint32 port = 1;
        optional string path = 2;
    }
}

message! {
    /// A check that connects.
    #[derive(Eq)]
    CheckTcp {
        required uint32 port = 1;
    }
}

message! {
    /// The result of a check.
    #[derive(Eq)]
    CheckStatusInfo {
        optional enumeration CheckType r#type = 1;
        optional message CheckStatusCommand command = 2;
        optional message CheckStatusHttp http = 3;
        optional message CheckStatusTcp tcp = 4;
    }
}

message! {
    /// The result of a check by a command.
    #[derive(Eq)]
    CheckStatusCommand {
        optional int32 exit_code = 1;
    }
}

message! {
    /// The result of a check over HTTP.
    #[derive(Eq)]
    CheckStatusHttp {
        optional uint32 status_code = 1;
    }
}

message! {
    /// The result of a check that connects.
    #[derive(Eq)]
    CheckStatusTcp {
        optional bool succeeded = 1;
    }
}
