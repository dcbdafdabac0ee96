import com.google.protobuf.Any;
import com.google.pubsub.v1.AcknowledgeRequest;
import com.google.pubsub.v1.SubscriberGrpc;
import com.google.rpc.ErrorInfo;
import com.google.rpc.Status;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * gRPC for Java acknowledges 1,000 ids without a lease, and prints the code of each refusal with the number of ids that
 * it names, until all are named. Arguments: HOST:PORT, subscription, bytes of headers that the channel accepts.
 */
public class StaleAcks {
  public static void main(String[] arguments) throws Exception {
    ManagedChannel channel =
        ManagedChannelBuilder.forTarget(arguments[0])
            .usePlaintext()
            .maxInboundMetadataSize(Integer.parseInt(arguments[2]))
            .build();
    List<String> ids =
        IntStream.range(0, 1000).mapToObj(n -> "" + (1_000_000_000_000_000L + n)).collect(Collectors.toList());
    while (!ids.isEmpty()) {
      AcknowledgeRequest request =
          AcknowledgeRequest.newBuilder().setSubscription(arguments[1]).addAllAckIds(ids).build();
      try {
        SubscriberGrpc.newBlockingStub(channel).acknowledge(request);
        break;
      } catch (StatusRuntimeException e) {
        Status status = StatusProto.fromThrowable(e);
        int before = ids.size();
        for (Any detail : status.getDetailsList()) {
          ids.removeAll(detail.unpack(ErrorInfo.class).getMetadataMap().keySet());
        }
        System.out.println(e.getStatus().getCode() + " " + (before - ids.size()));
        if (before == ids.size()) break;
      }
    }
    channel.shutdownNow();
  }
}
