eckart tensor cp A.npy
