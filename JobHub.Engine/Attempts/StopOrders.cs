using JobHub.Engine.Protocol;

namespace JobHub.Engine.Attempts;

/// <summary>How a stop is kept in the queue (live.stop): 0 is none, so a reason is stored one higher.</summary>
public static class StopOrders
{
    public static short Stored(StopReason reason) => (short)((short)reason + 1);

    public static StopReason Read(short stored) => (StopReason)(stored - 1);
}
