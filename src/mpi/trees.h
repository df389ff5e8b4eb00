/* trees.h - collectives made of point-to-point messages, for message logging: PMPI cannot see inside a collective, and a rank that
 * repeats one would wait for ranks that do not.  The trees are fixed and operands are combined in the order of ranks, lower
 * ranks first, so the bits of a result depend on nothing but the operands.
 *
 * Arguments are those of the MPI calls, without the communicator.  MPI_SUCCESS, or an MPI error.
 */
#ifndef BL_MPI_TREES_H
#define BL_MPI_TREES_H

#include <mpi.h>

typedef struct bl_tree_link { /* how messages travel; each call blocks, and messages of a pair arrive in order */
    int (*send)(void *context, const void *buf, int count, MPI_Datatype type, int dest);
    int (*recv)(void *context, void *buf, int count, MPI_Datatype type, int source);
    int (*exchange)(void *context, const void *sendbuf, int sendcount, MPI_Datatype sendtype, int dest, void *recvbuf, int recvcount,
                    MPI_Datatype recvtype, int source);
    void *context;
    int rank, size;
} bl_tree_link;

int bl_tree_Barrier(const bl_tree_link *link);
int bl_tree_Bcast(const bl_tree_link *link, void *buffer, int count, MPI_Datatype type, int root);
int bl_tree_Reduce(const bl_tree_link *link, const void *sendbuf, void *recvbuf, int count, MPI_Datatype type, MPI_Op op, int root);
int bl_tree_Allreduce(const bl_tree_link *link, const void *sendbuf, void *recvbuf, int count, MPI_Datatype type, MPI_Op op);
int bl_tree_Reduce_scatter(const bl_tree_link *link, const void *sendbuf, void *recvbuf, const int recvcounts[], MPI_Datatype type, MPI_Op op);
int bl_tree_Reduce_scatter_block(const bl_tree_link *link, const void *sendbuf, void *recvbuf, int recvcount, MPI_Datatype type, MPI_Op op);
int bl_tree_Scan(const bl_tree_link *link, const void *sendbuf, void *recvbuf, int count, MPI_Datatype type, MPI_Op op);
int bl_tree_Exscan(const bl_tree_link *link, const void *sendbuf, void *recvbuf, int count, MPI_Datatype type, MPI_Op op);
int bl_tree_Gather(const bl_tree_link *link, const void *sendbuf, int sendcount, MPI_Datatype sendtype, void *recvbuf, int recvcount,
                   MPI_Datatype recvtype, int root);
int bl_tree_Gatherv(const bl_tree_link *link, const void *sendbuf, int sendcount, MPI_Datatype sendtype, void *recvbuf, const int recvcounts[],
                    const int displs[], MPI_Datatype recvtype, int root);
int bl_tree_Scatter(const bl_tree_link *link, const void *sendbuf, int sendcount, MPI_Datatype sendtype, void *recvbuf, int recvcount,
                    MPI_Datatype recvtype, int root);
int bl_tree_Scatterv(const bl_tree_link *link, const void *sendbuf, const int sendcounts[], const int displs[], MPI_Datatype sendtype,
                     void *recvbuf, int recvcount, MPI_Datatype recvtype, int root);
int bl_tree_Allgather(const bl_tree_link *link, const void *sendbuf, int sendcount, MPI_Datatype sendtype, void *recvbuf, int recvcount,
                      MPI_Datatype recvtype);
int bl_tree_Allgatherv(const bl_tree_link *link, const void *sendbuf, int sendcount, MPI_Datatype sendtype, void *recvbuf,
                       const int recvcounts[], const int displs[], MPI_Datatype recvtype);
int bl_tree_Alltoall(const bl_tree_link *link, const void *sendbuf, int sendcount, MPI_Datatype sendtype, void *recvbuf, int recvcount,
                     MPI_Datatype recvtype);
int bl_tree_Alltoallv(const bl_tree_link *link, const void *sendbuf, const int sendcounts[], const int sdispls[], MPI_Datatype sendtype,
                      void *recvbuf, const int recvcounts[], const int rdispls[], MPI_Datatype recvtype);
int bl_tree_Alltoallw(const bl_tree_link *link, const void *sendbuf, const int sendcounts[], const int sdispls[],
                      const MPI_Datatype sendtypes[], void *recvbuf, const int recvcounts[], const int rdispls[],
                      const MPI_Datatype recvtypes[]);

#endif
