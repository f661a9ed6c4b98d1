# Replicas of the process, with health checks, updates one by one and sessions that stay where they are: docs/deploy/nomad.md
variable "program" {
  description = "Where the process is had from: an archive with `aqueduct` in it"
  type        = string
  default     = "https://files.example/aqueduct-0.1.0-amd64.tar.gz"
}

variable "bundle" {
  description = "Where the bundle is had from"
  type        = string
  default     = "https://files.example/bundle.cpio"
}

variable "replicas" {
  description = "How many there are"
  type        = number
  default     = 2
}

job "aqueduct" {
  datacenters = ["*"]
  type        = "service"

  group "web" {
    count = var.replicas

    # One replica to a host, so that one host less is one replica less.
    constraint {
      distinct_hosts = true
    }

    spread {
      attribute = "${node.datacenter}"
    }

    # One more is there, and healthy, before one goes: with distinct_hosts, that needs a client that has none yet. What does not become healthy is taken back.
    update {
      max_parallel     = 1
      canary           = 1
      auto_promote     = true
      auto_revert      = true
      health_check     = "checks"
      min_healthy_time = "10s"
      healthy_deadline = "2m"
    }

    network {
      port "http" {}
    }

    service {
      name     = "aqueduct"
      provider = "nomad"
      port     = "http"

      # /readyz is 503 while the process finishes what is under way, so that nothing new comes.
      check {
        name     = "ready"
        type     = "http"
        path     = "/readyz"
        interval = "5s"
        timeout  = "2s"
      }

      check {
        name     = "alive"
        type     = "http"
        path     = "/healthz"
        interval = "10s"
        timeout  = "2s"

        check_restart {
          limit = 3
          grace = "30s"
        }
      }
    }

    # The service is taken from the catalogue so long before the process is told to stop.
    shutdown_delay = "5s"

    task "aqueduct" {
      driver = "exec"

      # More than drain_seconds of [shutdown].
      kill_signal  = "SIGTERM"
      kill_timeout = "30s"

      artifact {
        source      = var.program
        destination = "local/bin"
      }

      artifact {
        source      = var.bundle
        destination = "local/bundle.cpio"
        mode        = "file"
      }

      config {
        command = "local/bin/aqueduct"
        args    = ["--bundle", "local/bundle.cpio", "--http", "[::]:${NOMAD_PORT_http}"]
      }

      resources {
        cpu    = 500
        memory = 256
      }
    }
  }
}
