//! Tasks, executors and what becomes of them.

use super::{
    AgentId, CheckInfo, CheckStatusInfo, CommandInfo, ContainerInfo, ContainerStatus, DurationInfo,
    ExecutorId, FrameworkId, HealthCheck, Labels, Resource, Scalar, TaskId, TimeInfo,
};

message! {
    /// A task to start: exactly one of `executor` and `command` is there.
    TaskInfo {
        required string name = 1;
        required message TaskId task_id = 2;
        required message AgentId agent_id = 3;
        repeated message Resource resources = 4;
        optional message ExecutorInfo executor = 5;
        optional message CommandInfo command = 7;
        optional message ContainerInfo container = 9;
        optional message HealthCheck health_check = 8;
        optional message CheckInfo check = 13;
        optional message KillPolicy kill_policy = 12;
        optional bytes data = 6;
        optional message Labels labels = 10;
        optional message DiscoveryInfo discovery = 11;
        optional message DurationInfo max_completion_time = 14;
        map Scalar limits = 15;
    }
}

message! {
    /// Tasks that start and end together.
    TaskGroupInfo {
        repeated message TaskInfo tasks = 1;
    }
}

message! {
    /// How a task is ended.
    #[derive(Copy, Eq)]
    KillPolicy {
        optional message DurationInfo grace_period = 1;
    }
}

enumeration! {
    /// Whose program an executor is.
    ExecutorType {
        UNKNOWN Unknown = 0;
        DEFAULT Default = 1;
        CUSTOM Custom = 2;
    }
}

message! {
    /// A program that runs tasks.
    ExecutorInfo {
        optional enumeration ExecutorType r#type = 15;
        required message ExecutorId executor_id = 1;
        optional message FrameworkId framework_id = 8;
        optional message CommandInfo command = 7;
        optional message ContainerInfo container = 11;
        repeated message Resource resources = 5;
        optional string name = 9;
        optional string source = 10;
        optional bytes data = 4;
        optional message DiscoveryInfo discovery = 12;
        optional message DurationInfo shutdown_grace_period = 13;
        optional message Labels labels = 14;
    }
}

enumeration! {
    /// Who may find a service.
    Visibility {
        FRAMEWORK Framework = 0;
        CLUSTER Cluster = 1;
        EXTERNAL External = 2;
    }
}

message! {
    /// How a task is found as a service.
    #[derive(Eq)]
    DiscoveryInfo {
        required enumeration Visibility visibility = 1;
        optional string name = 2;
        optional string environment = 3;
        optional string location = 4;
        optional string version = 5;
        optional message Ports ports = 6;
        optional message Labels labels = 7;
    }
}

message! {
    /// Ports of a service.
    #[derive(Eq)]
    Ports {
        repeated message Port ports = 1;
    }
}

message! {
    /// A port of a service.
    #[derive(Eq)]
    Port {
        required uint32 number = 1;
        optional string name = 2;
        optional string protocol = 3;
        optional enumeration Visibility visibility = 4;
        optional message Labels labels = 5;
    }
}

enumeration! {
    /// What a task is doing, or what has become of it.
    TaskState {
        TASK_STAGING Staging = 6;
        TASK_STARTING Starting = 0;
        TASK_RUNNING Running = 1;
        TASK_KILLING Killing = 8;
        TASK_FINISHED Finished = 2;
        TASK_FAILED Failed = 3;
        TASK_KILLED Killed = 4;
        TASK_ERROR Error = 7;
        TASK_LOST Lost = 5;
        TASK_DROPPED Dropped = 9;
        TASK_UNREACHABLE Unreachable = 10;
        TASK_GONE Gone = 11;
        TASK_GONE_BY_OPERATOR GoneByOperator = 12;
        TASK_UNKNOWN Unknown = 13;
    }
}

impl TaskState {
    /// Whether Mesos counts it as the end: an unreachable task may come back, and of an unknown one
    /// nothing is known.
    pub fn is_terminal(self) -> bool {
        match self {
            TaskState::Finished
            | TaskState::Failed
            | TaskState::Killed
            | TaskState::Error
            | TaskState::Lost
            | TaskState::Dropped
            | TaskState::Gone
            | TaskState::GoneByOperator => true,
            TaskState::Staging
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Killing
            | TaskState::Unreachable
            | TaskState::Unknown => false,
        }
    }
}

enumeration! {
    /// Who says what became of a task.
    StatusSource {
        SOURCE_MASTER Master = 0;
        SOURCE_AGENT Agent = 1;
        SOURCE_EXECUTOR Executor = 2;
    }
}

enumeration! {
    /// Why a task is in a state.
    StatusReason {
        REASON_COMMAND_EXECUTOR_FAILED CommandExecutorFailed = 0;
        REASON_CONTAINER_LAUNCH_FAILED ContainerLaunchFailed = 21;
        REASON_CONTAINER_LIMITATION ContainerLimitation = 19;
        REASON_CONTAINER_LIMITATION_DISK ContainerLimitationDisk = 20;
        REASON_CONTAINER_LIMITATION_MEMORY ContainerLimitationMemory = 8;
        REASON_CONTAINER_PREEMPTED ContainerPreempted = 17;
        REASON_CONTAINER_UPDATE_FAILED ContainerUpdateFailed = 22;
        REASON_MAX_COMPLETION_TIME_REACHED MaxCompletionTimeReached = 33;
        REASON_EXECUTOR_REGISTRATION_TIMEOUT ExecutorRegistrationTimeout = 23;
        REASON_EXECUTOR_REREGISTRATION_TIMEOUT ExecutorReregistrationTimeout = 24;
        REASON_EXECUTOR_TERMINATED ExecutorTerminated = 1;
        REASON_EXECUTOR_UNREGISTERED ExecutorUnregistered = 2;
        REASON_FRAMEWORK_REMOVED FrameworkRemoved = 3;
        REASON_GC_ERROR GcError = 4;
        REASON_INVALID_FRAMEWORKID InvalidFrameworkId = 5;
        REASON_INVALID_OFFERS InvalidOffers = 6;
        REASON_IO_SWITCHBOARD_EXITED IoSwitchboardExited = 27;
        REASON_MASTER_DISCONNECTED MasterDisconnected = 7;
        REASON_RECONCILIATION Reconciliation = 9;
        REASON_RESOURCES_UNKNOWN ResourcesUnknown = 18;
        REASON_AGENT_DISCONNECTED AgentDisconnected = 10;
        REASON_AGENT_DRAINING AgentDraining = 34;
        REASON_AGENT_REMOVED AgentRemoved = 11;
        REASON_AGENT_REMOVED_BY_OPERATOR AgentRemovedByOperator = 31;
        REASON_AGENT_REREGISTERED AgentReregistered = 32;
        REASON_AGENT_RESTARTED AgentRestarted = 12;
        REASON_AGENT_UNKNOWN AgentUnknown = 13;
        REASON_TASK_KILLED_DURING_LAUNCH TaskKilledDuringLaunch = 30;
        REASON_TASK_CHECK_STATUS_UPDATED TaskCheckStatusUpdated = 28;
        REASON_TASK_HEALTH_CHECK_STATUS_UPDATED TaskHealthCheckStatusUpdated = 29;
        REASON_TASK_GROUP_INVALID TaskGroupInvalid = 25;
        REASON_TASK_GROUP_UNAUTHORIZED TaskGroupUnauthorized = 26;
        REASON_TASK_INVALID TaskInvalid = 14;
        REASON_TASK_UNAUTHORIZED TaskUnauthorized = 15;
        REASON_TASK_UNKNOWN TaskUnknown = 16;
    }
}

message! {
    /// What has become of a task. Only one with a `uuid` is to be acknowledged.
    TaskStatus {
        required message TaskId task_id = 1;
        required enumeration TaskState state = 2;
        optional string message = 4;
        optional enumeration StatusSource source = 9;
        optional enumeration StatusReason reason = 10;
        optional bytes data = 3;
        optional message AgentId agent_id = 5;
        optional message ExecutorId executor_id = 7;
        /// Seconds since 1970.
        optional double timestamp = 6;
        optional bytes uuid = 11;
        optional bool healthy = 8;
        optional message CheckStatusInfo check_status = 15;
        optional message Labels labels = 12;
        optional message ContainerStatus container_status = 13;
        optional message TimeInfo unreachable_time = 14;
        optional message TaskResourceLimitation limitation = 16;
    }
}

message! {
    /// What a task had too much of.
    TaskResourceLimitation {
        repeated message Resource resources = 1;
    }
}

message! {
    /// A task, as masters and agents keep it.
    Task {
        required string name = 1;
        required message TaskId task_id = 2;
        required message FrameworkId framework_id = 3;
        optional message ExecutorId executor_id = 4;
        required message AgentId agent_id = 5;
        required enumeration TaskState state = 6;
        repeated message Resource resources = 7;
        repeated message TaskStatus statuses = 8;
        optional enumeration TaskState status_update_state = 9;
        optional bytes status_update_uuid = 10;
        optional message Labels labels = 11;
        optional message DiscoveryInfo discovery = 12;
        optional message ContainerInfo container = 13;
        optional message HealthCheck health_check = 15;
        optional message KillPolicy kill_policy = 16;
        optional string user = 14;
        map Scalar limits = 17;
    }
}
