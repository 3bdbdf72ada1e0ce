//! What operators and the master say to each other (package `mesos.v1.master`): state, agents,
//! maintenance, draining. Calls that are left out here can still be told by their type.

use crate::scheduler::OfferConstraints;
use crate::{
    AgentCapability, AgentId, AgentInfo, ClusterStatus, DrainInfo, Duration, DurationInfo,
    ExecutorInfo, Flag, FrameworkId, FrameworkInfo, InverseOffer, MachineId, MasterInfo, Metric,
    Offer, Resource, Role, Schedule, Task, TaskState, TaskStatus, TimeInfo, VersionInfo,
    WeightInfo,
};

enumeration! {
    /// Which call it is.
    CallType {
        UNKNOWN Unknown = 0;
        GET_HEALTH GetHealth = 1;
        GET_FLAGS GetFlags = 2;
        GET_VERSION GetVersion = 3;
        GET_METRICS GetMetrics = 4;
        GET_LOGGING_LEVEL GetLoggingLevel = 5;
        SET_LOGGING_LEVEL SetLoggingLevel = 6;
        LIST_FILES ListFiles = 7;
        READ_FILE ReadFile = 8;
        GET_STATE GetState = 9;
        GET_AGENTS GetAgents = 10;
        GET_FRAMEWORKS GetFrameworks = 11;
        GET_EXECUTORS GetExecutors = 12;
        GET_OPERATIONS GetOperations = 33;
        GET_TASKS GetTasks = 13;
        GET_ROLES GetRoles = 14;
        GET_WEIGHTS GetWeights = 15;
        UPDATE_WEIGHTS UpdateWeights = 16;
        GET_MASTER GetMaster = 17;
        SUBSCRIBE Subscribe = 18;
        RESERVE_RESOURCES ReserveResources = 19;
        UNRESERVE_RESOURCES UnreserveResources = 20;
        CREATE_VOLUMES CreateVolumes = 21;
        DESTROY_VOLUMES DestroyVolumes = 22;
        GROW_VOLUME GrowVolume = 34;
        SHRINK_VOLUME ShrinkVolume = 35;
        GET_MAINTENANCE_STATUS GetMaintenanceStatus = 23;
        GET_MAINTENANCE_SCHEDULE GetMaintenanceSchedule = 24;
        UPDATE_MAINTENANCE_SCHEDULE UpdateMaintenanceSchedule = 25;
        START_MAINTENANCE StartMaintenance = 26;
        STOP_MAINTENANCE StopMaintenance = 27;
        DRAIN_AGENT DrainAgent = 37;
        DEACTIVATE_AGENT DeactivateAgent = 38;
        REACTIVATE_AGENT ReactivateAgent = 39;
        GET_QUOTA GetQuota = 28;
        UPDATE_QUOTA UpdateQuota = 36;
        SET_QUOTA SetQuota = 29;
        REMOVE_QUOTA RemoveQuota = 30;
        TEARDOWN Teardown = 31;
        MARK_AGENT_GONE MarkAgentGone = 32;
    }
}

message! {
    /// A call of an operator.
    Call {
        optional enumeration CallType r#type = 1;
        optional message GetMetrics get_metrics = 2;
        optional message UpdateWeights update_weights = 6;
        optional message UpdateMaintenanceSchedule update_maintenance_schedule = 11;
        optional message Machines start_maintenance = 12;
        optional message Machines stop_maintenance = 13;
        optional message DrainAgent drain_agent = 21;
        optional message OneAgent deactivate_agent = 22;
        optional message OneAgent reactivate_agent = 23;
        optional message Teardown teardown = 16;
        optional message OneAgent mark_agent_gone = 17;
    }
}

message! {
    /// How long to wait for slow figures.
    #[derive(Copy, Eq)]
    GetMetrics {
        optional message DurationInfo timeout = 1;
    }
}

message! {
    /// New weights of roles.
    UpdateWeights {
        repeated message WeightInfo weight_infos = 1;
    }
}

message! {
    /// When which machines won't be there.
    #[derive(Eq)]
    UpdateMaintenanceSchedule {
        required message Schedule schedule = 1;
    }
}

message! {
    /// Machines whose maintenance starts or stops.
    #[derive(Eq)]
    Machines {
        repeated message MachineId machines = 1;
    }
}

message! {
    /// Ends an agent's tasks and keeps new ones away.
    #[derive(Eq)]
    DrainAgent {
        required message AgentId agent_id = 1;
        optional message Duration max_grace_period = 2;
        optional bool mark_gone = 3 [default = false];
    }
}

message! {
    /// An agent.
    #[derive(Eq)]
    OneAgent {
        required message AgentId agent_id = 1;
    }
}

message! {
    /// Ends a framework and all of its tasks.
    #[derive(Eq)]
    Teardown {
        required message FrameworkId framework_id = 1;
    }
}

enumeration! {
    /// Which answer it is.
    ResponseType {
        UNKNOWN Unknown = 0;
        GET_HEALTH GetHealth = 1;
        GET_FLAGS GetFlags = 2;
        GET_VERSION GetVersion = 3;
        GET_METRICS GetMetrics = 4;
        GET_LOGGING_LEVEL GetLoggingLevel = 5;
        LIST_FILES ListFiles = 6;
        READ_FILE ReadFile = 7;
        GET_STATE GetState = 8;
        GET_AGENTS GetAgents = 9;
        GET_FRAMEWORKS GetFrameworks = 10;
        GET_EXECUTORS GetExecutors = 11;
        GET_OPERATIONS GetOperations = 19;
        GET_TASKS GetTasks = 12;
        GET_ROLES GetRoles = 13;
        GET_WEIGHTS GetWeights = 14;
        GET_MASTER GetMaster = 15;
        GET_MAINTENANCE_STATUS GetMaintenanceStatus = 16;
        GET_MAINTENANCE_SCHEDULE GetMaintenanceSchedule = 17;
        GET_QUOTA GetQuota = 18;
    }
}

message! {
    /// An answer to an operator.
    Response {
        optional enumeration ResponseType r#type = 1;
        optional message Health get_health = 2;
        optional message Flags get_flags = 3;
        optional message Version get_version = 4;
        optional message Metrics get_metrics = 5;
        optional message LoggingLevel get_logging_level = 6;
        optional message State get_state = 9;
        optional message Agents get_agents = 10;
        optional message Frameworks get_frameworks = 11;
        optional message Executors get_executors = 12;
        optional message Operations get_operations = 20;
        optional message Tasks get_tasks = 13;
        optional message RoleList get_roles = 14;
        optional message Weights get_weights = 15;
        optional message Master get_master = 16;
        optional message MaintenanceStatus get_maintenance_status = 17;
        optional message MaintenanceSchedule get_maintenance_schedule = 18;
    }
}

message! {
    /// Whether the master is well.
    #[derive(Copy, Eq)]
    Health {
        required bool healthy = 1;
    }
}

message! {
    /// The master's options.
    #[derive(Eq)]
    Flags {
        repeated message Flag flags = 1;
    }
}

message! {
    /// The master's version.
    Version {
        required message VersionInfo version_info = 1;
    }
}

message! {
    /// The master's figures.
    Metrics {
        repeated message Metric metrics = 1;
    }
}

message! {
    /// How much the master writes into its log.
    #[derive(Copy, Eq)]
    LoggingLevel {
        required uint32 level = 1;
    }
}

message! {
    /// All of it.
    State {
        optional message Tasks get_tasks = 1;
        optional message Executors get_executors = 2;
        optional message Frameworks get_frameworks = 3;
        optional message Agents get_agents = 4;
    }
}

message! {
    /// All tasks.
    Tasks {
        repeated message Task pending_tasks = 1;
        listed message Task tasks = 2;
        listed message Task unreachable_tasks = 5;
        listed message Task completed_tasks = 3;
        repeated message Task orphan_tasks = 4;
    }
}

message! {
    /// All executors.
    Executors {
        listed message Executor executors = 1;
        repeated message Executor orphan_executors = 2;
    }
}

message! {
    /// An executor on its agent.
    Executor {
        required message ExecutorInfo executor_info = 1;
        required message AgentId agent_id = 2;
    }
}

message! {
    /// All operations of frameworks; always empty here.
    #[derive(Copy, Eq)]
    Operations {}
}

message! {
    /// All frameworks.
    Frameworks {
        listed message Framework frameworks = 1;
        listed message Framework completed_frameworks = 2;
        repeated message FrameworkInfo recovered_frameworks = 3;
    }
}

message! {
    /// A framework, as the master sees it.
    Framework {
        required message FrameworkInfo framework_info = 1;
        required bool active = 2;
        required bool connected = 3;
        required bool recovered = 11;
        optional message TimeInfo registered_time = 4;
        optional message TimeInfo reregistered_time = 5;
        optional message TimeInfo unregistered_time = 6;
        repeated message Offer offers = 7;
        repeated message InverseOffer inverse_offers = 8;
        repeated message Resource allocated_resources = 9;
        repeated message Resource offered_resources = 10;
        optional message OfferConstraints offer_constraints = 12;
    }
}

message! {
    /// All agents.
    Agents {
        listed message Agent agents = 1;
        listed message AgentInfo recovered_agents = 2;
    }
}

message! {
    /// An agent, as the master sees it.
    Agent {
        required message AgentInfo agent_info = 1;
        required bool active = 2;
        optional bool deactivated = 12;
        required string version = 3;
        optional string pid = 4;
        optional message TimeInfo registered_time = 5;
        optional message TimeInfo reregistered_time = 6;
        repeated message Resource total_resources = 7;
        repeated message Resource allocated_resources = 8;
        repeated message Resource offered_resources = 9;
        repeated message AgentCapability capabilities = 10;
        optional message DrainInfo drain_info = 13;
        optional message TimeInfo estimated_drain_start_time = 14;
    }
}

message! {
    /// All roles.
    RoleList {
        repeated message Role roles = 1;
    }
}

message! {
    /// Weights of roles.
    Weights {
        repeated message WeightInfo weight_infos = 1;
    }
}

message! {
    /// The leading master.
    Master {
        optional message MasterInfo master_info = 1;
        optional double start_time = 2;
        optional double elected_time = 3;
    }
}

message! {
    /// Machines under maintenance.
    MaintenanceStatus {
        required message ClusterStatus status = 1;
    }
}

message! {
    /// When which machines won't be there.
    #[derive(Eq)]
    MaintenanceSchedule {
        required message Schedule schedule = 1;
    }
}

enumeration! {
    /// Which event it is.
    EventType {
        UNKNOWN Unknown = 0;
        SUBSCRIBED Subscribed = 1;
        TASK_ADDED TaskAdded = 2;
        TASK_UPDATED TaskUpdated = 3;
        AGENT_ADDED AgentAdded = 4;
        AGENT_REMOVED AgentRemoved = 5;
        FRAMEWORK_ADDED FrameworkAdded = 6;
        FRAMEWORK_UPDATED FrameworkUpdated = 7;
        FRAMEWORK_REMOVED FrameworkRemoved = 8;
        HEARTBEAT Heartbeat = 9;
    }
}

message! {
    /// An event for operators.
    Event {
        optional enumeration EventType r#type = 1;
        optional message Subscribed subscribed = 2;
        optional message TaskAdded task_added = 3;
        optional message TaskUpdated task_updated = 4;
        optional message AgentAdded agent_added = 5;
        optional message OneAgent agent_removed = 6;
        optional message OneFramework framework_added = 7;
        optional message OneFramework framework_updated = 8;
        optional message FrameworkRemoved framework_removed = 9;
    }
}

message! {
    /// The first event of a stream.
    Subscribed {
        optional message State get_state = 1;
        optional double heartbeat_interval_seconds = 2;
    }
}

message! {
    /// A new task.
    TaskAdded {
        required message Task task = 1;
    }
}

message! {
    /// What has become of a task.
    TaskUpdated {
        required message FrameworkId framework_id = 1;
        required message TaskStatus status = 2;
        required enumeration TaskState state = 3;
    }
}

message! {
    /// A framework that is new or has changed.
    OneFramework {
        required message Framework framework = 1;
    }
}

message! {
    /// A framework that has ended.
    FrameworkRemoved {
        required message FrameworkInfo framework_info = 1;
    }
}

message! {
    /// A new agent.
    AgentAdded {
        required message Agent agent = 1;
    }
}
