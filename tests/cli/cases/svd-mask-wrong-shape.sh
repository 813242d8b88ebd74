eckart svd A.npy --engine als --rank 2 --mask S.npy
