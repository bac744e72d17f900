#!/bin/sh
# Sees that the programs of SLURM are there: installs them where this user may, else says what is missing.
PATH=$PATH:/usr/sbin:/sbin
missing=
for program in munged slurmctld slurmd sbatch srun scontrol squeue scancel; do
    command -v $program > /dev/null || missing="$missing $program"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "installing slurm-wlm and munge ..."
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq > /dev/null && apt-get install -qq -y --no-install-recommends slurm-wlm munge > /dev/null && exit 0
fi
echo "missing:$missing. Install SLURM and munge first, on Debian: sudo apt-get install slurm-wlm munge" >&2
exit 1
