#!/usr/bin/env bash
# How pods of Spark start: Kubernetes calls this with `driver ...` or `executor`, people with any command.
# What Spark sets in the environment is in its KubernetesUtils and Basic*FeatureStep; SPARK_HOME and JAVA_HOME the image sets.
set -euo pipefail

# Hadoop's login wants a name of whoever runs this; a pod may run as any user id.
if ! getent passwd "$(id -u)" >/dev/null; then
    NSS_WRAPPER_PASSWD=$(mktemp) NSS_WRAPPER_GROUP=$(mktemp)
    echo "${SPARK_USER_NAME:-boostqa}:x:$(id -u):$(id -g):BoostQA:/tmp:/bin/false" | cat /etc/passwd - >"$NSS_WRAPPER_PASSWD"
    cat /etc/group >"$NSS_WRAPPER_GROUP"
    export NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP LD_PRELOAD=libnss_wrapper.so HOME=/tmp
fi

# Settings mounted into the pod come first, then spark.executor.extraClassPath (SPARK_CLASSPATH), then Spark's own JARs.
classpath="${SPARK_CONF_DIR:-$SPARK_HOME/conf}:${HADOOP_CONF_DIR:+$HADOOP_CONF_DIR:}${SPARK_CLASSPATH:+$SPARK_CLASSPATH:}"
classpath+="$SPARK_HOME/jars/*${SPARK_EXTRA_CLASSPATH:+:$SPARK_EXTRA_CLASSPATH}${SPARK_DIST_CLASSPATH:+:$SPARK_DIST_CLASSPATH}"

case "${1:-}" in
driver)
    exec "$SPARK_HOME/bin/spark-submit" \
        --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" \
        --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" \
        --deploy-mode client "${@:2}"
    ;;
executor)
    # SPARK_JAVA_OPT_0, _1, ... one option each, in the order of their numbers; an option may hold spaces and = signs.
    options=()
    for ((i = 0; ; i++)); do
        name=SPARK_JAVA_OPT_$i
        [ -n "${!name+set}" ] || break
        options+=("${!name}")
    done
    exec "$JAVA_HOME/bin/java" ${options[@]+"${options[@]}"} \
        "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" -cp "$classpath" \
        org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
        --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
        --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
        --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
    ;;
*)
    exec "${@:-boostqa}"
    ;;
esac
