"""What a prepared host is, once: checked on a running host, brought about over SSH, and rendered for cloud-init."""
