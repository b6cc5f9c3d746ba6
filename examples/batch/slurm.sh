#!/bin/sh
# The units of a run as an array of Slurm jobs; files, folder and program must be on a disk that all nodes share.
#
#   n=$(ttbar split --dataset my.json --output pieces --unit-events 500000)
#   job=$(sbatch --parsable --array=0-$((n - 1)) examples/batch/slurm.sh pieces)
#   sbatch --dependency=afterok:$job --time=1:00:00 --mem=4G --wrap='ttbar merge pieces'
#
# A unit that failed is run again by its number: sbatch --array=3,17 examples/batch/slurm.sh pieces
#SBATCH --job-name=ttbar
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=2:00:00
#SBATCH --output=ttbar-%A_%a.log
set -eu
exec ttbar run-unit "$1" "$SLURM_ARRAY_TASK_ID"
